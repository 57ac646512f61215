"""Microbatches with the very boundaries that the journal holds: how a restart learns the same updates again.

On the path it stands in the microbatcher's place while a trainer recovers. The log hands the same events out again, but
in other pieces and with the partitions interleaved in another way; the journal says how many rows of which partition
went into each update, in which order. What is left over at the end is handed to the microbatcher that goes on.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from consumers.microbatch import C, Decoded, Feed
from consumers.source import Position, Positions
from consumers.track import Run, Track
from service.errors import JournalInvalid


@dataclass(slots=True)
class _Queue(Generic[C]):
    """Decoded rows of one partition that no update has taken yet."""

    pieces: deque[tuple[C, Track]] = field(default_factory=deque)
    rows: int = 0

    def push(self, chunk: C, track: Track) -> None:
        self.pieces.append((chunk, track))
        self.rows += len(track)

    def pop(self, rows: int) -> list[tuple[C, Track]]:
        """Take `rows` rows off the front; there must be as many."""
        taken: list[tuple[C, Track]] = []
        self.rows -= rows
        while rows:
            chunk, track = self.pieces.popleft()
            if len(track) > rows:
                self.pieces.appendleft((chunk.slice(rows, len(track)), track.take(slice(rows, None))))
                chunk, track = chunk.slice(0, rows), track.take(slice(0, rows))
            taken.append((chunk, track))
            rows -= len(track)
        return taken


class Rebatcher(Generic[C]):
    """Takes rows from a feed by the journal's runs. Owned by one thread.

    Parameters
    ----------
    feed
        The log again, from the checkpoint's positions on.
    patience
        Seconds to wait for rows that the journal says exist, at most; without news for so long the log has lost them.
    clock
        Monotonic seconds.
    """

    def __init__(self, feed: Feed[C], *, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._feed = feed
        self._patience = patience
        self._clock = clock
        self._queues: dict[int, _Queue[C]] = {}
        self._positions: dict[int, Position] = {}
        self._arrived = clock()
        self._unused = 0
        self._nothing: C | None = None

    def take(self, runs: Sequence[Run], positions: Positions) -> tuple[C, Track]:
        """Return the rows of `runs`, in their order.

        Parameters
        ----------
        runs
            As the journal keeps them.
        positions
            The positions after them, as the journal keeps them: what they must lead to.

        Raises
        ------
        JournalInvalid
            The log does not hold these rows (any more), or decodes into others than it did.
        """
        pieces: list[tuple[C, Track]] = []
        for run in runs:
            self._fill(run)
            pieces += self._queues[run.partition].pop(run.rows)
        track = Track.concatenate([piece for _, piece in pieces])
        self._check(track, positions)
        chunks = [chunk for chunk, _ in pieces]
        return (chunks[0] if len(chunks) == 1 else type(chunks[0]).concatenate(chunks)), track

    def rest(self) -> list[Decoded[C]]:
        """Return what was taken from the feed and went into no update: nothing where nothing was ever taken.

        In pieces, for together they might take too much memory; the last one has no rows, and the positions after all.
        """
        if self._nothing is None:
            return []
        pieces = [piece for queue in self._queues.values() for piece in queue.pieces]
        self._queues.clear()
        rest = [Decoded(chunk, track, track.positions(), self._arrived) for chunk, track in pieces]
        return [*rest, Decoded(self._nothing, Track.empty(), self._positions, self._arrived, self._unused)]

    def _fill(self, run: Run) -> None:
        """Take from the feed until the queue of the run's partition is long enough."""
        queue = self._queues.setdefault(run.partition, _Queue())
        give_up = self._clock() + self._patience
        while queue.rows < run.rows:
            decoded = self._feed.take(0.1)
            if decoded is not None:
                self._distribute(decoded)
                give_up = self._clock() + self._patience
            elif self._clock() > give_up:
                raise JournalInvalid(
                    f"the journal knows of {run.rows - queue.rows} more events of partition {run.partition} than the "
                    f"log has handed out again within {self._patience:g} s"
                )

    def _distribute(self, decoded: Decoded[C]) -> None:
        """Sort the rows of a chunk into the queues of their partitions."""
        self._nothing = decoded.chunk.slice(0, 0)
        start = 0
        for run in decoded.track.runs():
            stop = start + run.rows
            queue = self._queues.setdefault(run.partition, _Queue())
            queue.push(decoded.chunk.slice(start, stop), decoded.track.take(slice(start, stop)))
            start = stop
        self._positions.update(decoded.positions)
        self._arrived = decoded.arrived
        self._unused += decoded.unused

    def _check(self, track: Track, positions: Positions) -> None:
        """Refuse rows that lie beyond the journaled positions, or that stop short of them with more rows to come."""
        for partition, reached in track.positions().items():
            wanted = positions[partition]
            pieces = self._queues[partition].pieces
            if reached > wanted or (pieces and pieces[0][1].take(slice(0, 1)).positions()[partition] <= wanted):
                raise JournalInvalid(
                    f"partition {partition} decodes into other events than it did before: the journal's update ends "
                    f"at {tuple(wanted)}, its rows at {tuple(reached)}. Were the settings under `events:` changed?"
                )


class Chained(Generic[C]):
    """A feed that hands out some chunks first, and then what another feed has."""

    def __init__(self, first: Sequence[Decoded[C]], then: Feed[C]) -> None:
        self._first = deque(first)
        self._then = then

    def take(self, timeout: float) -> Decoded[C] | None:
        """Return the next chunk, waiting at most `timeout` seconds for it."""
        if self._first:
            return self._first.popleft()
        return self._then.take(timeout)
