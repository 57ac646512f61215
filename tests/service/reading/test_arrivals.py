"""How long events may wait counts from the log, within bounds; trickling ones are gathered for a moment."""

from collections.abc import Sequence

import pytest

from consumers.records import Records
from consumers.source import Record, StoredRecord
from consumers.testing import ManualClock
from service.reading.arrivals import Arrivals

WALL = 1_763_683_200.0
"""Seconds since the epoch, at which all of this happens."""


def of_age(*seconds: float) -> list[Record]:
    """Return records that came into the log so long ago."""
    return [StoredRecord(0, n, round((WALL - each) * 1000), None, b"") for n, each in enumerate(seconds)]


def arrivals(clock: ManualClock) -> Arrivals:
    return Arrivals(0.05, clock, lambda: WALL)


@pytest.mark.parametrize("columns", [False, True])
def test_what_an_event_spent_on_its_way_is_taken_off(columns: bool) -> None:
    """If this fails, an event that took 20 ms to come waits for others as long as one that came at once."""
    clock = ManualClock()
    clock.advance(10.0)
    records: Sequence[Record] = of_age(0.001, 0.02, 0.01)
    found = arrivals(clock).polled(Records.of(records) if columns else records)
    assert found == pytest.approx(clock() - 0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("age", "taken_off"),
    [(0.04, 0.025), (0.9, 0.025), (1.1, 0.0), (3600.0, 0.0), (-0.001, 0.0), (-3600.0, 0.0)],
)
def test_no_clock_and_no_backlog_takes_all_of_it_off(age: float, taken_off: float) -> None:
    """If this fails, a producer whose clock is behind, or a backlog, is learned in microbatches of one event."""
    clock = ManualClock()
    clock.advance(10.0)
    assert arrivals(clock).polled(of_age(age)) == pytest.approx(clock() - taken_off, abs=1e-6)


def test_no_poll_arrives_before_the_one_before_it() -> None:
    """If this fails, the microbatcher looks at the wrong event to know when it is due."""
    clock = ManualClock()
    clock.advance(10.0)
    seen = arrivals(clock)
    first = seen.polled(of_age(0.001))
    assert seen.polled(of_age(0.02)) == first
    assert seen.polled([]) == clock()


def test_trickling_events_are_gathered_and_others_are_not() -> None:
    """If this fails, a thousand events a second cost a thousand polls, or a full topic is read with pauses."""
    clock = ManualClock()
    seen = arrivals(clock)
    few, many = of_age(*[0.001] * 3), of_age(*[0.001] * 2000)
    rests = []
    for records in (few, few, [], few, many, few, few):
        seen.polled(records)
        rests.append(seen.rest())
    assert rests == pytest.approx([0.0, 0.008, 0.0, 0.0, 0.0, 0.0, 0.008])
    clock.advance(0.006)
    assert seen.rest() == pytest.approx(0.002)
    clock.advance(0.006)
    assert seen.rest() == 0.0
