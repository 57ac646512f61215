"""Where each row of a chunk came from, as columns: so a microbatch can be cut anywhere and still be resumed exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumers.source import Position


class Run(NamedTuple):
    """`rows` consecutive events of one partition."""

    partition: int
    rows: int


@dataclass(frozen=True, slots=True)
class Track:
    """For each row, where it came from; all arrays have shape (rows,).

    Attributes
    ----------
    partitions
        int32; the partition.
    next_offsets, next_events
        int64 and int32; the position after this row, so ``(offset + 1, 0)`` for the last event of a message.
    sizes
        int32; bytes that this row took in the log (a message's length shared out over its events).
    appended
        int64; the record's timestamp, in milliseconds since the epoch.
    """

    partitions: NDArray[np.int32]
    next_offsets: NDArray[np.int64]
    next_events: NDArray[np.int32]
    sizes: NDArray[np.int32]
    appended: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Self:
        """Return a track of no rows."""
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.int64),
        )

    @classmethod
    def concatenate(cls, tracks: Sequence[Self]) -> Self:
        """Join tracks in order."""
        if len(tracks) == 1:
            return tracks[0]
        return cls(
            np.concatenate([track.partitions for track in tracks]),
            np.concatenate([track.next_offsets for track in tracks]),
            np.concatenate([track.next_events for track in tracks]),
            np.concatenate([track.sizes for track in tracks]),
            np.concatenate([track.appended for track in tracks]),
        )

    def __len__(self) -> int:
        return len(self.partitions)

    def take(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Return the rows that a slice, a mask or an array of indices selects."""
        return type(self)(
            self.partitions[rows],
            self.next_offsets[rows],
            self.next_events[rows],
            self.sizes[rows],
            self.appended[rows],
        )

    def positions(self) -> dict[int, Position]:
        """Return, for each partition that occurs, the position after its last row."""
        # Reversed, the first occurrence that `unique` finds is the last one.
        partitions, firsts = np.unique(self.partitions[::-1], return_index=True)
        last = len(self) - 1 - firsts
        return {
            int(partition): Position(int(self.next_offsets[row]), int(self.next_events[row]))
            for partition, row in zip(partitions, last, strict=True)
        }

    def checksum(self) -> int:
        """Return a number from 0 to 2^64 - 1 that tells these events from others, whatever their order.

        It is the sum, modulo 2^64, of ``mix(mix(mix(partition) + next_offset) + next_event)`` over the rows, where
        ``mix`` is a step of SplitMix64: ``z = x + 9e3779b97f4a7c15``, ``z = (z ^ z >> 30) * bf58476d1ce4e5b9``,
        ``z = (z ^ z >> 27) * 94d049bb133111eb``, ``z ^ z >> 31``, all modulo 2^64. So checksums of pieces add up to
        that of the whole, and anybody who reads the log can compute them: a message's event number i has
        ``(offset, i + 1)`` for the next one, and the last of its events that can be used has ``(offset + 1, 0)``.
        """
        return int(self.checksums().sum(dtype=np.uint64))

    def checksums(self) -> NDArray[np.uint64]:
        """Return what each row adds to the checksum, uint64, shape (rows,)."""
        hashed = _mix(self.partitions.astype(np.uint64))
        hashed = _mix(hashed + self.next_offsets.astype(np.uint64))
        return _mix(hashed + self.next_events.astype(np.uint64))

    def runs(self) -> list[Run]:
        """Return the rows as runs of one partition each, in order: what the journal keeps of a microbatch."""
        if not len(self):
            return []
        starts = np.flatnonzero(np.diff(self.partitions, prepend=self.partitions[0] - 1))
        lengths = np.diff(starts, append=len(self))
        return [Run(int(self.partitions[s]), int(n)) for s, n in zip(starts, lengths, strict=True)]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one step of SplitMix64 of each value; see :meth:`Track.checksum`."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
