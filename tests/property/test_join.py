"""The label join does what a dictionary would do, row by row, however the stream is cut, saved and restored."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.track import Track
from models.examples import Label
from service.joining.join import Join
from service.settings.join import JoinSettings
from tests.support.joining import PlainJoin, Row, examples_of, outcomes_of, seen


@st.composite
def streams(draw: st.DrawFn, labels: st.SearchStrategy[Label]) -> list[list[Row]]:
    """Draw microbatches of few ids, over partitions of which each goes its own way through time."""
    clocks = [0.0, 0.0]
    batches = []
    for _ in range(draw(st.integers(1, 8))):
        rows = []
        for _ in range(draw(st.integers(1, 10))):
            kind, partition = draw(st.integers(0, 9)), draw(st.integers(0, 1))
            clocks[partition] += draw(st.sampled_from([0, 0, 1, 2, 4, 30]))
            x = None if 5 <= kind < 9 else draw(st.sampled_from([1.0, 2.0, 3.0]))
            label = None if kind < 5 else draw(labels)
            weight = draw(st.sampled_from([1.0, 2.0]))
            name = draw(st.integers(0 if kind == 9 else 1, 12))
            rows.append(Row(name, x, label, clocks[partition], partition, weight))
        batches.append(rows)
    return batches


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Label | None, list[list[Row]]]:
    """Draw settings with a stream that fits them."""
    duplicates = draw(st.sampled_from(["first", "last", "sum"]))
    labels: st.SearchStrategy[Label] = st.sampled_from([1.5, 2.0, 4.0])
    if duplicates != "sum" and draw(st.booleans()):
        labels = st.sampled_from(["yes", "no", True, 3])
    chosen: dict[str, Any] = {
        "wait": draw(st.sampled_from([3, 10])),
        "duplicates": duplicates,
        "late": draw(st.sampled_from(["count", "learn"])),
        "max_open": draw(st.sampled_from([4, 1000])),
        "max_memory": draw(st.sampled_from([0, 10**6])),
        "max_age": draw(st.sampled_from([None, 12])),
    }
    default = None
    if draw(st.booleans()):
        default = draw(labels)
        chosen |= {"on_timeout": "learn", "default": default, "sample": draw(st.sampled_from([1, 2]))}
    return chosen, default, draw(streams(labels))


@settings(deadline=None, max_examples=200)
@given(cases(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_joined_as_if_row_by_row(tmp_path_factory: Any, case: Any, restarts: list[bool]) -> None:
    """An example would be lost, doubled, or have another's features, label or weight; or a restart would change it."""
    chosen, default, batches = case
    folder = tmp_path_factory.mktemp("spilled")
    config = JoinSettings(**chosen)

    def make() -> Join:
        return Join(config, folder, default=default, default_weight=3.0, size=8)

    made, plain, first = make(), PlainJoin(config, default, 3.0), 0
    tracks: list[Track] = []
    for rows, restart in zip(batches, restarts, strict=False):
        examples, track = examples_of(rows, first)
        tracks.append(track)
        saved = made.state()
        found = seen(made.take(examples, track), Track.concatenate(tracks))
        if restart:  # killed after the microbatch, and before anything of it was saved
            again = make()
            again.restore(saved)
            assert seen(again.take(examples, track), Track.concatenate(tracks)) == found
            ours, theirs = made.state(), again.state()
            assert theirs.meta == ours.meta
            assert {name: array.tobytes() for name, array in theirs.arrays.items()} == {
                name: array.tobytes() for name, array in ours.arrays.items()
            }
            made = again
        assert found == plain.take(rows, first)
        assert outcomes_of(made.outcomes.counts) == outcomes_of(plain.outcomes)
        size = made.status()
        assert (size.observations, size.labels) == (len(plain.open), len(plain.labels))
        first += len(rows)
