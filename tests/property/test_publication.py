"""Publication under any sequence of changes: each slot holds exactly the version that it says it holds."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learner import Array, Published
from service.publication import Publisher
from service.publishing.publication_layout import WORD_GENERATION, WORD_HEADER, MappedFile, files_newest_first
from service.publishing.subscription import Subscription

SIZES = st.sampled_from([0, 1, 63, 64, 65, 1000, 4096, 4097, 5000, 6400])


def ranges(size: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Return ranges within an array of `size` elements, empty, overlapping and unordered ones included."""
    pair = st.tuples(st.integers(0, size), st.integers(0, size)).map(lambda bounds: (min(bounds), max(bounds)))
    few, many = st.lists(pair, max_size=4), st.lists(pair, min_size=9, max_size=40)
    edges = st.sampled_from([0, min(63, size), max(size - 1, 0)])
    points = st.lists(st.one_of(edges, st.integers(0, max(size - 1, 0))), max_size=60).map(
        lambda starts: [(start, min(start + 1, size)) for start in starts]
    )
    return st.one_of(few, many, points)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), slots=st.integers(3, 6), sizes=st.lists(SIZES, min_size=1, max_size=3))
def test_slots_hold_what_they_say(data: st.DataObject, slots: int, sizes: list[int]) -> None:
    """Servers would answer from parameters of which some elements are versions old."""
    now = [0.0]
    spec = {"layout": 0}
    arrays: dict[str, Array] = {f"a{index}": np.zeros(size, np.int32) for index, size in enumerate(sizes)}
    snapshots: dict[int, dict[str, Array]] = {}
    with tempfile.TemporaryDirectory() as folder:
        publisher = Publisher(Path(folder), 1, slots, lambda: now[0])
        reader = Subscription(Path(folder))
        for version in range(1, data.draw(st.integers(1, 15), "publications") + 1):
            now[0] += data.draw(st.sampled_from([0.0, 0.01, 0.03, 1.5, 20.0]), "seconds")
            if data.draw(st.integers(0, 9), "another layout?") == 0:
                spec = {"layout": version}
            changed = change(data, arrays, version)
            publisher.publish(Published(spec, arrays, changed), {"version": version})
            snapshots[version] = {name: array.copy() for name, array in arrays.items()}
            header, found = reader.read(lambda view: {name: array.copy() for name, array in view.arrays.items()})
            assert header == {"version": version}
            assert_equal(found, snapshots[version])
            check_all_slots(Path(folder), snapshots)


def change(data: st.DataObject, arrays: dict[str, Array], version: int) -> dict[str, list[tuple[int, int]]] | None:
    """Change some of `arrays` and return what, or None for anything."""
    if data.draw(st.integers(0, 5), "everything?") == 0:
        for array in arrays.values():
            array[:] = version
        return None
    changed = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(arrays)), unique=True), "names"):
        changed[name] = data.draw(ranges(arrays[name].size), "ranges")
        for start, stop in changed[name]:
            arrays[name][start:stop] = version
    return changed


def check_all_slots(folder: Path, snapshots: dict[int, dict[str, Array]]) -> None:
    """See that each slot that was ever written holds the version that its header names."""
    file = MappedFile.open(files_newest_first(folder)[0])
    assert file is not None
    for slot in file.slots:
        if slot.words[WORD_GENERATION]:
            text = bytes(slot.header[: slot.words[WORD_HEADER]])
            assert_equal(slot.arrays, snapshots[int(text.removeprefix(b'{"version":').removesuffix(b"}"))])


def assert_equal(found: Any, expected: dict[str, Array]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
