"""A table of what waits keeps what a dictionary keeps, however it is cut, saved and restored."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.examples import Examples
from service.joining.table import Table
from tests.property.test_examples import rows_of, some_examples

KIND = np.dtype([("id", np.uint64, 2), ("time", np.float64), ("partition", np.int32)])
WAIT = 5.0

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), some_examples(), st.integers(0, 20)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 40), max_size=6), st.integers(0, 0)),
        st.tuples(st.just("due"), st.integers(0, 30), st.integers(0, 30)),
        st.tuples(st.just("restore"), st.booleans(), st.integers(0, 0)),
    ),
    max_size=12,
)


def digest(name: int) -> tuple[int, int]:
    """Return the id of a name; many of them fall onto one place of the index."""
    return (name % 3) << 62 | 5, name


def content(features: Any, answered: Any) -> list[Any]:
    """Return features row by row."""
    rows = len(features)
    labels: list[Any] = [None] * rows
    return rows_of(Examples(features, labels, np.ones(rows, np.float32), np.zeros(rows), answered=answered))


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_table_is_a_dictionary(tmp_path_factory: Any, steps: list[Any]) -> None:
    """An observation would be lost, found under another's id, or come back with another's features."""
    folder: Path = tmp_path_factory.mktemp("spilled")
    made, waiting, names = Table(KIND, folder, 100, size=8), {}, 0
    for kind, what, more in steps:
        if kind == "add":
            rows = np.zeros(len(what), KIND)
            for row, each in enumerate(content(what.features, what.answered)):
                time, partition = float(more + row % 3), (more + row) % 2
                rows[row] = (digest(names), time, partition)
                waiting[names] = (each, time, partition)
                names += 1
            made.add(rows, what.features, what.answered)
        elif kind == "remove":
            gone = [name for name in dict.fromkeys(what) if name in waiting]
            made.forget(made.find(np.array([digest(name) for name in gone], np.uint64).reshape(-1, 2)))
            for name in gone:
                del waiting[name]
        elif kind == "due":
            clocks = np.array([what, more], np.float64)
            found = made.rows(made.due(clocks, WAIT, clocks.max(), 3 * WAIT))["id"][:, 1].tolist()
            assert found == [
                name
                for name, (_, time, partition) in waiting.items()
                if time + WAIT < clocks[partition] or time + 3 * WAIT < clocks.max()
            ]
        else:
            meta, arrays = made.state("open")
            again = Table(KIND, folder, 0 if what else 100, size=8)
            again.restore("open", meta, arrays)
            meta_again, arrays_again = again.state("open")
            assert meta_again == meta
            assert {name: array.tobytes() for name, array in arrays_again.items()} == {
                name: array.tobytes() for name, array in arrays.items()
            }
            made = again
        asked = list(range(names + 1))
        numbers = made.find(np.array([digest(name) for name in asked], np.uint64).reshape(-1, 2))
        assert [name for name, number in zip(asked, numbers.tolist(), strict=True) if number >= 0] == list(waiting)
        assert len(made) == len(waiting)
        numbers = numbers[numbers >= 0][::-1]
        taken, *columns = made.features(numbers)
        assert taken.tolist() == list(range(len(waiting)))
        assert content(*columns) == [each for each, _, _ in waiting.values()][::-1]
        assert made.oldest(3)[:3].tolist() == sorted(numbers.tolist())[:3]
        assert made.earliest() == min((time for _, time, _ in waiting.values()), default=np.inf)
