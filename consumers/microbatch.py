"""Cuts and joins decoded chunks into microbatches: the last step before learning.

On the path it stands between the decoder (through a :class:`Feed`, usually the prefetcher) and the learner. It is
generic: a chunk only needs to know its length and to be sliced and joined, so nothing here knows what is learned.

A microbatch is handed out as soon as the first of three bounds is met: `max_size` events, `max_bytes` bytes of log, or
`max_delay` seconds since its oldest event was polled; and pieces that have too little in common are not joined.
Positions go with the rows, so that a resume from the positions of any microbatch meets exactly the events after it.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from consumers.source import Position, Positions
from consumers.track import Track

Clock = Callable[[], float]
"""Monotonic seconds."""


class Chunk(Protocol):
    """Rows that can be cut and joined."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def slice(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop`."""

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join rows in order; `parts` is not empty."""


C = TypeVar("C", bound=Chunk)
Joined_contra = TypeVar("Joined_contra", contravariant=True)


class Joint(Protocol[Joined_contra]):
    """Says of pieces, before they are joined, whether the whole would take too much memory."""

    def takes(self, part: Joined_contra, rows: int) -> bool:
        """Take so many rows of a piece in, if the whole stays small enough; the first piece always is."""


@dataclass(frozen=True, slots=True)
class Decoded(Generic[C]):
    """What a decoder makes of some records.

    Attributes
    ----------
    chunk
        The usable rows; perhaps none.
    track
        Where each row came from; as long as `chunk`.
    positions
        The positions after everything that was decoded, trailing messages that gave no row included; partitions that
        did not occur may be absent.
    arrived
        Monotonic seconds at which the records were polled, on the clock that the batcher uses; never earlier than for
        the chunk before.
    unused
        Events that gave no row (dead letters, observations); counted with the last row of this chunk.
    """

    chunk: C
    track: Track
    positions: Positions
    arrived: float
    unused: int = 0


@dataclass(frozen=True, slots=True)
class MicroBatch(Generic[C]):
    """Rows to learn from at once, and where the log stands after them.

    Attributes
    ----------
    examples
        The rows; None where records were passed that gave none.
    track
        Where each row came from.
    positions
        For every partition met so far, the position after this microbatch.
    waited
        Seconds since the oldest event was polled.
    reason
        The bound that was met: ``"size"``, ``"bytes"``, ``"delay"``, ``"width"`` where what comes next has too little
        in common with it, or ``"flush"`` at the end.
    unused
        Events passed on the way that gave no row.
    """

    examples: C | None
    track: Track
    positions: Positions
    waited: float
    reason: str
    unused: int = 0


class Feed(Protocol[C]):
    """Where decoded chunks come from."""

    def take(self, timeout: float) -> Decoded[C] | None:
        """Return the next chunk, waiting at most `timeout` seconds for it; None where there is none."""


class _Held(Generic[C]):
    """A chunk in hand, of which rows from `start` on are left."""

    __slots__ = ("arrived", "chunk", "positions", "start", "track", "unused", "weights")

    def __init__(self, decoded: Decoded[C]) -> None:
        self.chunk = decoded.chunk
        self.track = decoded.track
        self.positions = decoded.positions
        self.arrived = decoded.arrived
        self.unused = decoded.unused
        self.start = 0
        # Bytes up to and including each row: any cut by bytes is then a binary search.
        self.weights: NDArray[np.int64] = decoded.track.sizes.cumsum(dtype=np.int64)

    @property
    def rows(self) -> int:
        return len(self.weights) - self.start

    def bytes_of(self, rows: int) -> int:
        """Return the bytes of the next `rows` rows."""
        if not rows:
            return 0
        passed = self.weights[self.start - 1] if self.start else 0
        return int(self.weights[self.start + rows - 1] - passed)

    def rows_within(self, limit: int) -> int:
        """Return how many of the next rows have at most `limit` bytes together."""
        passed = int(self.weights[self.start - 1]) if self.start else 0
        return int(self.weights.searchsorted(passed + limit, side="right")) - self.start

    def cut(self, rows: int) -> tuple[C, Track]:
        """Take the next `rows` rows off."""
        start, stop = self.start, self.start + rows
        self.start = stop
        if not start and stop == len(self.weights):
            return self.chunk, self.track
        return self.chunk.slice(start, stop), self.track.take(slice(start, stop))


class MicroBatcher(Generic[C]):
    """Makes microbatches of what a feed hands over. Owned by one thread.

    Parameters
    ----------
    feed
        Where chunks come from.
    max_size
        Events in a microbatch, at most. May be set at any time (:attr:`max_size`).
    max_delay
        Seconds that an event is held at most, counted from :attr:`Decoded.arrived`, so that time spent queueing before
        the batcher counts too. May be set at any time (:attr:`max_delay`).
    max_bytes
        Bytes that a microbatch's events took in the log, at most; a single event that is larger goes alone.
    start
        The positions from which the log is read.
    joint
        Makes what says which pieces may be joined; by default all may.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        feed: Feed[C],
        *,
        max_size: int,
        max_delay: float,
        max_bytes: int,
        start: Positions,
        joint: Callable[[], Joint[C]] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        if max_size < 1 or max_bytes < 1 or max_delay < 0:
            raise ValueError(
                f"max_size and max_bytes must be at least 1 and max_delay at least 0, "
                f"got {max_size}, {max_bytes} and {max_delay}"
            )
        self.max_size = max_size
        self._feed = feed
        self.max_delay = max_delay
        self._max_bytes = max_bytes
        self._joint = joint
        self._clock = clock
        self._held: deque[_Held[C]] = deque()
        self._rows = 0
        self._bytes = 0
        self._positions: dict[int, Position] = dict(start)

    @property
    def rows_in_hand(self) -> int:
        """Rows taken from the feed and not yet handed out."""
        return self._rows

    def next(self, timeout: float) -> MicroBatch[C] | None:
        """Return the next microbatch, waiting at most `timeout` seconds for it.

        Returns
        -------
        MicroBatch or None
            None where no bound was met within `timeout`, or the feed gave up earlier; what is in hand stays there.

        Raises
        ------
        Exception
            Whatever the feed raises. What is in hand stays there.
        """
        give_up = self._clock() + timeout
        while True:
            if self._rows >= self.max_size:
                return self._gather("size")
            if self._bytes >= self._max_bytes:
                return self._gather("bytes")
            now = self._clock()
            due = self._held[0].arrived + self.max_delay if self._held else give_up
            # Overdue events still take along what is ready: a learner that lags gets full microbatches, not small ones.
            decoded = self._feed.take(max(0.0, min(due, give_up) - now))
            if decoded is not None:
                self._hold(decoded)
            elif self._held and self._clock() >= due:
                return self._gather("delay")
            else:
                return None

    def flush(self) -> MicroBatch[C] | None:
        """Return a microbatch of what is in hand, within the bounds, without waiting; None once nothing is left."""
        return self._gather("flush") if self._held else None

    def _hold(self, decoded: Decoded[C]) -> None:
        """Take a chunk in hand. One without rows only moves the positions of the chunk before it on."""
        if not len(decoded.track) and self._held:
            last = self._held[-1]
            last.positions = {**last.positions, **decoded.positions}
            last.unused += decoded.unused
            return
        held = _Held(decoded)
        self._held.append(held)
        self._rows += held.rows
        self._bytes += held.bytes_of(held.rows)

    def _gather(self, reason: str) -> MicroBatch[C]:
        """Cut a microbatch off what is in hand; `reason` holds unless a bound ends it earlier."""
        waited = self._clock() - self._held[0].arrived
        pieces: list[tuple[C, Track]] = []
        rows_left, bytes_left, unused = self.max_size, self._max_bytes, 0
        joint = None if self._joint is None else self._joint()
        while self._held:
            held = self._held[0]
            rows, reason = self._room(held, rows_left, bytes_left, reason, first=not pieces)
            if rows and joint is not None and not joint.takes(held.chunk, rows):
                reason = "width"
                break
            taken = held.bytes_of(rows)
            rows_left, bytes_left = rows_left - rows, bytes_left - taken
            self._rows, self._bytes = self._rows - rows, self._bytes - taken
            if rows:
                pieces.append(held.cut(rows))
            if held.rows:
                if rows:
                    self._positions.update(pieces[-1][1].positions())
                break
            self._positions.update(held.positions)
            unused += held.unused
            self._held.popleft()
        return _join(pieces, dict(self._positions), waited, reason, unused)

    @staticmethod
    def _room(held: _Held[C], rows_left: int, bytes_left: int, reason: str, *, first: bool) -> tuple[int, str]:
        """Return how many rows of `held` still go in, and the bound met, which is `reason` where none is."""
        rows = min(held.rows, rows_left)
        if held.bytes_of(rows) > bytes_left:
            # Too large for any microbatch: it goes alone.
            return max(held.rows_within(bytes_left), int(first)), "bytes"
        return rows, "size" if rows == rows_left else reason


def _join(
    pieces: Sequence[tuple[C, Track]], positions: Positions, waited: float, reason: str, unused: int
) -> MicroBatch[C]:
    """Make one microbatch of its pieces."""
    if not pieces:
        return MicroBatch(None, Track.empty(), positions, waited, reason, unused)
    chunks = [chunk for chunk, _ in pieces]
    examples = chunks[0] if len(chunks) == 1 else type(chunks[0]).concatenate(chunks)
    return MicroBatch(examples, Track.concatenate([track for _, track in pieces]), positions, waited, reason, unused)
