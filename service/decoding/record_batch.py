"""The records of one decoding call as columns, so that where each row came from is computed for all rows at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumers.records import Records
from consumers.source import Position, Record
from consumers.track import Track


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records, and what is needed of each to make a track.

    Attributes
    ----------
    records
        In the order in which they were polled.
    partitions, offsets, appended, lengths
        int32, int64, int64 (milliseconds since the epoch) and int64 (bytes); shape (records,).
    """

    records: Records
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    appended: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "RecordBatch":
        """Read the columns off the records, where they do not come as columns."""
        columns = Records.of(records)
        return cls(columns, columns.partitions, columns.offsets, columns.appended, columns.lengths())

    def positions(self) -> dict[int, Position]:
        """Return, for each partition that occurs, the position after its last record."""
        last = dict(zip(self.partitions.tolist(), self.offsets.tolist(), strict=True))
        return {partition: Position(offset + 1) for partition, offset in last.items()}

    def track(self, origins: "Origins", counts: NDArray[np.int64]) -> Track:
        """Return where the rows that `origins` names came from.

        Parameters
        ----------
        origins
            Record and event of each row, ascending.
        counts
            int64, shape (records,); events of each record, unusable ones included: they share its bytes.
        """
        records = origins.records
        ends = np.ones(len(records), np.bool_)
        ends[:-1] = records[1:] != records[:-1]
        return Track(
            self.partitions[records],
            self.offsets[records] + ends,
            np.where(ends, 0, origins.events + 1).astype(np.int32),
            (self.lengths[records] // counts[records]).astype(np.int32),
            self.appended[records],
        )


@dataclass(frozen=True, slots=True)
class Origins:
    """Which event of which record each row is.

    Attributes
    ----------
    records, events
        int64, shape (rows,); indices into the records of one decoding call, and into the events of the record.
    """

    records: NDArray[np.int64]
    events: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.records)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Origins":
        """Return the rows that an array of indices or a mask selects."""
        return Origins(self.records[rows], self.events[rows])

    def at(self, row: int) -> tuple[int, int]:
        """Return the indices of the record and of its event that row number `row` is."""
        return int(self.records[row]), int(self.events[row])
