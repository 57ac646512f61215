"""Whatever comes in whatever pieces: bounds hold, nothing is lost or doubled, and positions are exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumers.microbatch import Decoded, MicroBatch, MicroBatcher
from consumers.source import Position
from consumers.testing import ManualClock
from consumers.track import Run, Track


@dataclass(frozen=True)
class Event:
    """One event of a log."""

    partition: int
    offset: int
    index: int
    of: int
    usable: bool
    size: int

    @property
    def after(self) -> Position:
        last = self.index + 1 == self.of
        return Position(self.offset + 1, 0) if last else Position(self.offset, self.index + 1)


@dataclass(frozen=True)
class Rows:
    """A chunk: just the events themselves."""

    events: tuple[Event, ...]

    def __len__(self) -> int:
        return len(self.events)

    def slice(self, start: int, stop: int) -> Self:
        return type(self)(self.events[start:stop])

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        return cls(tuple(event for part in parts for event in part.events))


def track_of(events: Sequence[Event]) -> Track:
    return Track(
        np.array([event.partition for event in events], np.int32),
        np.array([event.after.offset for event in events], np.int64),
        np.array([event.after.event for event in events], np.int32),
        np.array([event.size for event in events], np.int32),
        np.array([event.offset for event in events], np.int64),
    )


@dataclass(frozen=True)
class Arrival:
    """A chunk, and when the feed has it."""

    decoded: Decoded[Rows]
    at: float


class ScheduledFeed:
    """Hands chunks out when their time has come; a wait moves the clock."""

    def __init__(self, arrivals: Sequence[Arrival], clock: ManualClock) -> None:
        self._arrivals = list(arrivals)
        self._clock = clock

    def take(self, timeout: float) -> Decoded[Rows] | None:
        wait = self._arrivals[0].at - self._clock() if self._arrivals else float("inf")
        if wait > timeout:
            self._clock.advance(timeout)
            return None
        self._clock.advance(max(0.0, wait))
        return self._arrivals.pop(0).decoded


@st.composite
def logs(draw: st.DrawFn) -> list[list[Event]]:
    """Draw chunks of whole messages of up to three partitions."""
    next_offsets = dict.fromkeys(range(3), 0)
    chunks = []
    for _ in range(draw(st.integers(0, 12))):
        chunk: list[Event] = []
        for _ in range(draw(st.integers(0, 6))):
            partition = draw(st.integers(0, 2))
            offset = next_offsets[partition] + draw(st.integers(0, 2))
            next_offsets[partition] = offset + 1
            usable = draw(st.lists(st.booleans(), min_size=1, max_size=5))
            sizes = draw(st.lists(st.integers(0, 40), min_size=len(usable), max_size=len(usable)))
            for index, (good, size) in enumerate(zip(usable, sizes, strict=True)):
                chunk.append(Event(partition, offset, index, len(usable), good, size))
        chunks.append(chunk)
    return chunks


# Quarters of a second add up exactly.
quarters = st.integers(0, 8).map(lambda quarter: quarter / 4)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Event], list[Arrival]]:
    """Draw a log and when its chunks come, some of them after queueing for a while."""
    chunks = draw(logs())
    now = arrived = 10.0
    made = []
    for chunk in chunks:
        now += draw(quarters)
        rows = [event for event in chunk if event.usable]
        positions = {event.partition: Position(event.offset + 1) for event in chunk}
        unused = len(chunk) - len(rows)
        arrived = max(arrived, now - draw(quarters))
        decoded = Decoded(Rows(tuple(rows)), track_of(rows), positions, arrived, unused)
        made.append(Arrival(decoded, now))
    return [event for chunk in chunks for event in chunk], made


@dataclass(frozen=True)
class HandedOut:
    """A microbatch, when it was asked for and when it came."""

    batch: MicroBatch[Rows]
    asked: float
    came: float


@dataclass(frozen=True)
class Scenario:
    """A log, how it comes in, and the bounds."""

    events: list[Event]
    arrivals: list[Arrival]
    max_size: int
    max_bytes: int
    max_delay: float

    def usable(self) -> list[Event]:
        return [event for event in self.events if event.usable]

    def run(self) -> list[HandedOut]:
        """Take microbatches until nothing is left."""
        clock = ManualClock(10.0)
        batcher = MicroBatcher(
            ScheduledFeed(self.arrivals, clock),
            max_size=self.max_size,
            max_delay=self.max_delay,
            max_bytes=self.max_bytes,
            start={},
            clock=clock,
        )
        handed_out = []
        asked = clock()
        while (batch := batcher.next(100.0)) is not None:
            handed_out.append(HandedOut(batch, asked, clock()))
            asked = clock()
        assert batcher.rows_in_hand == 0
        return handed_out


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a log, how it comes in, and bounds."""
    events, arriving = draw(arrivals())
    return Scenario(events, arriving, draw(st.integers(1, 8)), draw(st.integers(1, 100)), draw(quarters))


def rows_of(batch: MicroBatch[Rows]) -> tuple[Event, ...]:
    return () if batch.examples is None else batch.examples.events


@given(scenarios())
def test_nothing_is_lost_doubled_or_reordered(scenario: Scenario) -> None:
    """Else events would be missing from the parameters, or be in them twice."""
    handed_out = scenario.run()
    assert [row for each in handed_out for row in rows_of(each.batch)] == scenario.usable()
    assert sum(each.batch.unused for each in handed_out) == sum(not event.usable for event in scenario.events)


@given(scenarios())
def test_bounds_hold(scenario: Scenario) -> None:
    """Else a microbatch outgrows the device's memory."""
    for each in scenario.run():
        rows = rows_of(each.batch)
        assert len(each.batch.track) == len(rows) <= scenario.max_size
        assert len(rows) <= 1 or sum(row.size for row in rows) <= scenario.max_bytes
        assert each.batch.examples is None or rows


@given(scenarios())
def test_positions_are_those_from_which_the_rest_follows(scenario: Scenario) -> None:
    """Else a restart loses events or learns them twice."""
    left = scenario.usable()
    for each in scenario.run():
        left = left[len(rows_of(each.batch)) :]
        positions = each.batch.positions
        resumed = [
            event
            for event in scenario.usable()
            if Position(event.offset, event.index) >= positions.get(event.partition, Position(0))
        ]
        assert resumed == left


@given(scenarios())
def test_the_last_positions_pass_everything(scenario: Scenario) -> None:
    """Else messages without a usable event would be read, and reported as dead letters, again and again."""
    handed_out = scenario.run()
    expected = {event.partition: Position(event.offset + 1) for event in scenario.events}
    assert dict(handed_out[-1].batch.positions if handed_out else {}) == expected


@given(scenarios())
def test_no_event_is_held_longer_than_the_delay(scenario: Scenario) -> None:
    """Else freshness has no bound."""
    due = {
        row: max(chunk.decoded.arrived + scenario.max_delay, chunk.at)
        for chunk in scenario.arrivals
        for row in chunk.decoded.chunk.events
    }
    for each in scenario.run():
        assert all(each.came <= due[row] for row in rows_of(each.batch))


@given(scenarios())
def test_a_full_microbatch_is_never_waited_with(scenario: Scenario) -> None:
    """Else learning idles while there is work."""
    there_at = {row: chunk.at for chunk in scenario.arrivals for row in chunk.decoded.chunk.events}
    for each in scenario.run():
        rows = rows_of(each.batch)
        if len(rows) == scenario.max_size:
            assert each.came == max(each.asked, there_at[rows[-1]])


events = st.builds(
    Event,
    partition=st.integers(0, 3),
    offset=st.integers(0, 2**40),
    index=st.integers(0, 3),
    of=st.just(4),
    usable=st.just(True),
    size=st.integers(0, 1000),
)


@given(st.lists(events, max_size=30))
def test_a_track_knows_the_last_position_of_each_partition(rows: list[Event]) -> None:
    """Else a microbatch that is cut in its middle resumes at the wrong place."""
    assert track_of(rows).positions() == {row.partition: row.after for row in rows}


@given(st.lists(events, max_size=30))
def test_runs_give_the_partitions_back_row_by_row(rows: list[Event]) -> None:
    """Else a journal leads to other microbatches than it was written for."""
    runs = track_of(rows).runs()
    assert [run.partition for run in runs for _ in range(run.rows)] == [row.partition for row in rows]
    assert all(isinstance(run, Run) and run.rows > 0 for run in runs)
    assert all(one.partition != other.partition for one, other in pairwise(runs))


@given(st.lists(st.lists(events, max_size=8), min_size=1, max_size=5), st.integers(0, 40))
def test_a_track_is_the_same_however_it_was_cut(pieces: list[list[Event]], cut: int) -> None:
    """Else rows and their origins come apart."""
    whole = track_of([row for piece in pieces for row in piece])
    joined = Track.concatenate([track_of(piece) for piece in pieces])
    again = Track.concatenate([joined.take(slice(0, cut)), joined.take(slice(cut, None))])
    for name in ("partitions", "next_offsets", "next_events", "sizes", "appended"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
        assert getattr(again, name).dtype == getattr(Track.empty(), name).dtype
