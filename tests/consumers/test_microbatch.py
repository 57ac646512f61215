"""The microbatcher's answers one by one; tests/property has its laws."""

from collections.abc import Sequence

import pytest

from consumers.microbatch import Decoded, MicroBatcher
from consumers.source import Position
from consumers.testing import ManualClock
from tests.support.chunks import Numbers, decoded


class ListFeed:
    """Has chunks at once; then lets time pass, or raises `error` once."""

    def __init__(
        self, clock: ManualClock, chunks: Sequence[Decoded[Numbers]] = (), error: Exception | None = None
    ) -> None:
        self.chunks = list(chunks)
        self._clock = clock
        self._error = error

    def take(self, timeout: float) -> Decoded[Numbers] | None:
        if self.chunks:
            return self.chunks.pop(0)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._clock.advance(timeout)
        return None


def batcher(feed: ListFeed, clock: ManualClock, **bounds: float) -> MicroBatcher[Numbers]:
    """Return a batcher of 4 rows, 1,000 bytes and 1 second, unless `bounds` says otherwise."""
    return MicroBatcher(
        feed,
        max_size=int(bounds.get("max_size", 4)),
        max_bytes=int(bounds.get("max_bytes", 1000)),
        max_delay=bounds.get("max_delay", 1.0),
        start={7: Position(5)},
        clock=clock,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize(
    ("bounds", "values", "reason"),
    [
        ({"max_size": 3}, (0, 1, 2), "size"),
        ({"max_bytes": 20}, (0, 1), "bytes"),
        ({"max_bytes": 25}, (0, 1), "bytes"),
        ({"max_bytes": 40, "max_size": 9}, (0, 1, 2, 3), "bytes"),
        ({"max_bytes": 5}, (0,), "bytes"),
        ({"max_size": 9}, (0, 1, 2, 3), "delay"),
    ],
)
def test_the_bound_that_was_met_is_named(
    clock: ManualClock, bounds: dict[str, float], values: tuple[int, ...], reason: str
) -> None:
    """Else an operator tunes the wrong bound."""
    batch = batcher(ListFeed(clock, [decoded(0, 1, 2, 3)]), clock, **bounds).next(5.0)
    assert batch is not None
    assert batch.examples == Numbers(values)
    assert batch.reason == reason
    assert batch.positions == {0: Position(values[-1] + 1), 7: Position(5)}


def test_a_timeout_leaves_what_is_in_hand(clock: ManualClock) -> None:
    """Else a loop that does its housekeeping loses events."""
    waiting = batcher(ListFeed(clock, [decoded(0)]), clock, max_delay=10.0)
    assert waiting.next(1.0) is None
    assert waiting.rows_in_hand == 1
    batch = waiting.next(100.0)
    assert batch is not None
    assert batch.examples == Numbers((0,))
    assert clock() == batch.waited == 10.0


def test_time_spent_queueing_counts(clock: ManualClock) -> None:
    """Else an event behind a slow learner is held twice as long as promised."""
    clock.advance(5.0)
    batch = batcher(ListFeed(clock, [decoded(0, arrived=0.0)]), clock).next(1.0)
    assert batch is not None
    assert clock() == batch.waited == 5.0


def test_overdue_events_take_along_what_is_ready(clock: ManualClock) -> None:
    """Else a learner that lags is handed small microbatches just when it needs full ones."""
    clock.advance(5.0)
    batch = batcher(ListFeed(clock, [decoded(0), decoded(1), decoded(2), decoded(3)]), clock).next(1.0)
    assert batch is not None
    assert batch.examples == Numbers((0, 1, 2, 3))


def test_records_without_rows_move_positions_on(clock: ManualClock) -> None:
    """Else a stretch of unusable messages is read again at each restart."""
    nothing = decoded(positions={0: Position(9)})
    batch = batcher(ListFeed(clock, [nothing]), clock).next(5.0)
    assert batch is not None
    assert batch.examples is None
    assert len(batch.track) == 0
    assert batch.positions == {0: Position(9), 7: Position(5)}


def test_records_without_rows_wait_for_the_rows_before_them(clock: ManualClock) -> None:
    """Else a resume passes over rows that were in hand."""
    feed = ListFeed(clock, [decoded(0, 1, 2, 3, 4), decoded(positions={0: Position(9)})])
    batches = batcher(feed, clock)
    first, second = batches.next(5.0), batches.next(5.0)
    assert first is not None
    assert second is not None
    assert first.positions[0] == Position(4)
    assert second.positions[0] == Position(9)


def test_the_size_may_change_at_any_time(clock: ManualClock) -> None:
    """Else an adaptive size takes effect too late, or loses rows."""
    batches = batcher(ListFeed(clock, [decoded(0, 1, 2, 3, 4, 5)]), clock, max_size=4)
    first = batches.next(1.0)
    batches.max_size = 1
    second = batches.next(1.0)
    assert first is not None
    assert second is not None
    assert (first.examples, second.examples) == (Numbers((0, 1, 2, 3)), Numbers((4,)))


def test_flush_hands_out_the_rest_within_the_bounds(clock: ManualClock) -> None:
    """Else a shutdown loses what is in hand, or overruns the device with it."""
    batches = batcher(ListFeed(clock, [decoded(0, 1, 2, 3, 4, 5)]), clock, max_size=9, max_delay=60.0)
    assert batches.next(0.0) is None
    batches.max_size = 4
    flushed = [batches.flush(), batches.flush(), batches.flush()]
    assert [None if batch is None else batch.examples for batch in flushed] == [
        Numbers((0, 1, 2, 3)),
        Numbers((4, 5)),
        None,
    ]
    assert flushed[1] is not None
    assert flushed[1].reason == "flush"


def test_an_error_of_the_feed_leaves_what_is_in_hand(clock: ManualClock) -> None:
    """Else an error of the source costs events that were already read."""
    broken = batcher(ListFeed(clock, [decoded(0)], ConnectionError("the other side broke")), clock)
    with pytest.raises(ConnectionError):
        broken.next(5.0)
    batch = broken.next(5.0)
    assert batch is not None
    assert batch.examples == Numbers((0,))


@pytest.mark.parametrize("bounds", [{"max_size": 0}, {"max_bytes": 0}, {"max_delay": -1.0}])
def test_bounds_that_admit_nothing_are_refused(clock: ManualClock, bounds: dict[str, float]) -> None:
    """Else a wrong setting shows as a trainer that does nothing."""
    with pytest.raises(ValueError, match="at least"):
        batcher(ListFeed(clock), clock, **bounds)


class Pairs:
    """Lets two pieces be joined, and no more."""

    def __init__(self) -> None:
        self.left = 2

    def takes(self, part: Numbers, rows: int) -> bool:
        """Take a piece in."""
        assert len(part) >= rows > 0
        self.left -= 1
        return self.left >= 0


def test_pieces_that_do_not_fit_together_go_one_after_the_other(clock: ManualClock) -> None:
    """Events would be lost, or positions be wrong, where a microbatch ends because the next piece does not fit it."""
    feed = ListFeed(clock, [decoded(number) for number in range(5)])
    made = MicroBatcher(feed, max_size=9, max_bytes=1000, max_delay=0.0, start={}, joint=Pairs, clock=clock)
    found = []
    while (batch := made.next(0.0)) is not None:
        found.append((batch.examples and batch.examples.values, batch.positions[0].offset, batch.reason))
    assert found == [((0, 1), 2, "width"), ((2, 3), 4, "width"), ((4,), 5, "delay")]
