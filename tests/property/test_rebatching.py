"""A restart must learn the journal's microbatches again exactly, however the log hands its records out this time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.microbatch import Decoded, MicroBatcher
from consumers.source import Position
from consumers.track import Track
from service.errors import JournalInvalid
from service.restart.rebatching import Chained, Rebatcher


@dataclass(frozen=True)
class Names:
    """Rows that know which event they are."""

    rows: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.rows)

    def slice(self, start: int, stop: int) -> Self:
        return type(self)(self.rows[start:stop])

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        return cls([row for part in parts for row in part.rows])


class Listed:
    """A feed of what is in a list."""

    def __init__(self, chunks: list[Decoded[Names]]) -> None:
        self._chunks = list(chunks)

    def take(self, timeout: float) -> Decoded[Names] | None:  # noqa: ARG002 - nothing is to come
        return self._chunks.pop(0) if self._chunks else None


def decoded(events: list[tuple[int, int]]) -> Decoded[Names]:
    """Return a chunk of (partition, offset) events."""
    partitions = np.array([partition for partition, _ in events], np.int32)
    offsets = np.array([offset for _, offset in events], np.int64)
    zeros = np.zeros(len(events), np.int32)
    track = Track(partitions, offsets + 1, zeros, zeros, zeros.astype(np.int64))
    return Decoded(Names(events), track, track.positions(), 0.0)


@st.composite
def _interleavings(draw: st.DrawFn, lengths: list[int]) -> list[tuple[int, int]]:
    """Return all events of all partitions in some order that respects each partition's."""
    order = draw(st.permutations([p for p, length in enumerate(lengths) for _ in range(length)]))
    seen = [0] * len(lengths)
    events = []
    for partition in order:
        events.append((partition, seen[partition]))
        seen[partition] += 1
    return events


@st.composite
def _chunks(draw: st.DrawFn, events: list[tuple[int, int]]) -> list[Decoded[Names]]:
    """Return the events in pieces of any size, empty ones among them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))
    return [decoded(events[a:b]) for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]


@given(st.data(), st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(1, 7))
def test_the_same_microbatches_come_again(data: st.DataObject, lengths: list[int], size: int) -> None:
    """If this fails, a restart learns other updates than those that were served, under the same version numbers."""
    first = data.draw(_interleavings(lengths))
    batcher = MicroBatcher(
        Listed(data.draw(_chunks(first))), max_size=size, max_delay=0.0, max_bytes=10**9, start={}, clock=lambda: 0.0
    )
    batches = []
    while (batch := batcher.next(0.0) or batcher.flush()) is not None:
        if batch.examples is not None:
            batches.append(batch)
    kept = data.draw(st.integers(0, len(batches)))

    again = Rebatcher(Listed(data.draw(_chunks(data.draw(_interleavings(lengths))))), patience=0.0, clock=lambda: 0.0)
    for batch in batches[:kept]:
        examples, track = again.take(batch.track.runs(), batch.positions)
        assert examples == batch.examples
        assert track.positions() == batch.track.positions()

    feed = Chained(again.rest(), again._feed)
    rest: list[tuple[int, int]] = []
    while (piece := feed.take(0.0)) is not None:
        rest += piece.chunk.rows
    learned = [row for batch in batches[:kept] for row in (batch.examples.rows if batch.examples else [])]
    assert sorted(learned + rest) == sorted(first), "something was lost or doubled"
    for partition in range(len(lengths)):
        offsets = [offset for p, offset in learned + rest if p == partition]
        assert offsets == sorted(offsets), "the order within a partition was lost"


def test_a_log_that_lost_events_is_told_apart_from_one_that_is_slow() -> None:
    """If this fails, a trainer waits for ever for events that retention has deleted."""
    clock = iter(range(100))
    again = Rebatcher(Listed([decoded([(0, 0)])]), patience=5.0, clock=lambda: float(next(clock)))
    with pytest.raises(JournalInvalid, match="2 more events of partition 0"):
        again.take(decoded([(0, 0), (0, 1), (0, 2)]).track.runs(), {0: Position(3)})


@pytest.mark.parametrize("end", [1, 4])
def test_events_that_decode_otherwise_are_noticed(end: int) -> None:
    """If this fails, a change of settings makes a restart learn other events under the journal's version numbers."""
    again = Rebatcher(Listed([decoded([(0, offset) for offset in range(6)])]), patience=0.0, clock=lambda: 0.0)
    with pytest.raises(JournalInvalid, match="other events"):
        again.take(decoded([(0, 0), (0, 1)]).track.runs(), {0: Position(end)})
