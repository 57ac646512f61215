"""A stream with repeats, cut anyhow and killed anywhere, is learned as if every event had come once."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.microbatch import MicroBatch
from consumers.source import Position
from consumers.track import Track
from models.examples import Examples, Task
from models.influence import KeyShares
from models.learner import LearnerState
from service.learning.count import Count
from service.learning.dedup import DedupWindow
from service.learning.lane import Lane
from service.learning.screen import Screen
from tests.support.learning import learner, stream
from tests.support.training import same_state

WINDOW = 16
POOL = stream(Task.BINARY, 40, 0)


class Checkpoint(NamedTuple):
    """What a lane is after some microbatches."""

    learner: LearnerState
    screen: dict[str, LearnerState]
    counted: Count
    updates: int


def lane(kept: Checkpoint | None = None) -> Lane:
    """Return a lane, new or as a checkpoint has it."""
    nothing: Any = None
    screen = Screen(DedupWindow(WINDOW), KeyShares(0.4, 50))
    made = Lane(learner(Task.BINARY, kind="linear"), nothing, nothing, {}, screen)
    if kept is not None:
        assert made.learner is not None
        made.learner.restore(kept.learner)
        made.screen.restore(kept.screen)
        made.count = kept.counted
    return made


def state(made: Lane) -> LearnerState:
    """Return the learner's state."""
    assert made.learner is not None
    return made.learner.state()


def microbatch(numbers: list[int], first: int) -> MicroBatch[Examples]:
    """Return events of the pool, from an offset on; number 0 has no id, and two of three come from one source."""
    rows, count = np.array(numbers, np.intp), len(numbers)
    given = POOL.take(rows)
    ids = np.stack([rows, rows], 1).astype(np.uint64)
    sources = np.where(rows % 3 > 0, 1 << 40, rows).astype(np.uint64)
    examples = Examples(given.features, given.labels, given.weights, given.timestamps, ids, sources)
    offsets = np.arange(first + 1, first + count + 1)
    zeros = np.zeros(count, np.int32)
    track = Track(zeros, offsets, zeros, zeros, offsets)
    return MicroBatch(examples, track, {0: Position(first + count)}, 0.0, "size")


def cut(numbers: list[int], cuts: list[int]) -> list[MicroBatch[Examples]]:
    """Return the stream as microbatches."""
    edges = sorted({0, len(numbers), *(cut % (len(numbers) + 1) for cut in cuts)})
    return [microbatch(numbers[start:stop], start) for start, stop in pairwise(edges)]


def firsts(numbers: list[int]) -> list[bool]:
    """Return which events are no repeats of one of the last that have an id."""
    found: list[bool] = []
    named: list[int] = []
    for number in numbers:
        found.append(not number or number not in named[-WINDOW:])
        named += [number] if number else []
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 39), min_size=1, max_size=120),
    st.lists(st.integers(0, 200), max_size=8),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3),
)
def test_every_event_is_learned_once_whatever_happens(
    numbers: list[int], cuts: list[int], kills: list[tuple[int, int]]
) -> None:
    """An event that was sent twice would count twice, once more after each crash, or a retry would lose it."""
    batches, new = cut(numbers, cuts), firsts(numbers)
    calm = lane()
    learned = [calm.learn(batch) for batch in batches]
    assert [label for part in learned for label in part.labels] == [
        POOL.labels[number] for number, first in zip(numbers, new, strict=True) if first
    ]
    assert (calm.learned, calm.count.duplicates) == (sum(new), len(new) - sum(new))
    assert calm.consumed == len(numbers)
    once = Track.concatenate([Track.empty(), *(batch.track for batch in batches)]).take(np.array(new))
    assert calm.count.checksum == once.checksum()

    killed, done, kept = lane(), 0, Checkpoint(state(lane()), {}, Count(), 0)
    for at, saved in [*sorted(kills), (len(batches), 0)]:
        for batch in batches[done : max(done, at)]:
            killed.learn(batch)
        done = max(done, min(at, len(batches)))
        if saved >= done:
            kept = Checkpoint(state(killed), killed.screen.states(), killed.count, done)
        killed = lane(kept)
        for batch in batches[kept.updates : done]:  # what the journal knows of
            killed.learn(batch)
    assert same_state(state(killed), state(calm))
    assert killed.count == calm.count
