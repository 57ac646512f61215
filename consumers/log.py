"""The embedded log: durable, one SQLite file a topic, for those who have no Kafka.

On the path it is the first station, where Kafka would be. One partition, number 0. See :mod:`consumers.log_file` for
the file itself, :mod:`consumers.log_sink` for appending and :mod:`consumers.log_retention` for forgetting.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from consumers import log_file
from consumers.errors import LogReplaced, LogUnreadable, PositionLost
from consumers.log_retention import LogRetention
from consumers.log_sink import LogSink
from consumers.source import Position, Positions, StoredRecord

__all__ = ["LogReader", "LogRetention", "LogSink", "LogSource"]

PARTITION = 0

# All rows of a poll come in one step, laid end to end, for the same reason for which they are inserted so: SQLite lets
# go of Python's lock at each step, and beside a busy thread getting it back costs milliseconds. A blob taken for text
# and back keeps its bytes as they are.
_READ = """
SELECT count(*), group_concat(id), group_concat(timestamp),
       group_concat(length(value)), CAST(group_concat(CAST(value AS TEXT), '') AS BLOB),
       group_concat(coalesce(length(extra), -1)), CAST(group_concat(CAST(extra AS TEXT), '') AS BLOB),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'records'), 0)
FROM (
    SELECT id, timestamp, value, extra,
           sum(length(value) + coalesce(length(extra), 0)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM records WHERE id > ?1 ORDER BY id LIMIT ?2
) WHERE bytes <= ?3 OR id = ?1 + 1
"""

# Bytes of values that one poll returns at most, a single record aside.
_POLL_BYTES = 16 * 1024 * 1024

# Seconds between two looks for what other processes appended; what this process appends is announced.
_LOOK = 0.003

# Seconds between two looks at whether the file is still where it was.
_LOOK_AT_FILE = 1.0

_EXTRA = msgspec.msgpack.Decoder(tuple[bytes | None, tuple[tuple[str, bytes], ...]])
_NO_EXTRA: tuple[bytes | None, tuple[tuple[str, bytes], ...]] = (None, ())


class LogSource:
    """A topic of the embedded log.

    Parameters
    ----------
    path
        The log's file; made, empty, where it does not exist when the source is opened.
    topic
        Its name; the file's where None.
    """

    def __init__(self, path: Path, topic: str | None = None) -> None:
        self._path = path
        self._topic = path.stem if topic is None else topic

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic

    def open(self, positions: Positions, identity: str = "") -> "LogReader":
        """Return a reader that starts at `positions`, or at the earliest record.

        Raises
        ------
        LogReplaced
            The file is not the log of that `identity`.
        PositionLost
            The log does not hold that position: retention was faster, or the file is another one.
        SourceUnavailable, LogUnreadable
        """
        return LogReader(self._path, self._topic, positions, identity)

    def positions_at(self, milliseconds: int) -> Positions:
        """Return the position of the first record of that time or later, or the end; reads all timestamps.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        connection = log_file.connect(self._path)
        try:
            row = connection.execute("SELECT min(id) FROM records WHERE timestamp >= ?", (milliseconds,)).fetchone()
            _, end = log_file.bounds(connection)
        except sqlite3.Error as error:
            raise log_file.reading_error(self._path, error) from error
        finally:
            connection.close()
        return {PARTITION: Position(end if row[0] is None else row[0] - 1)}


class LogReader:
    """Reads the embedded log. Owned by one thread; several readers and writers of a file do not disturb each other."""

    def __init__(self, path: Path, topic: str, positions: Positions, identity: str = "") -> None:
        self._path = path
        self._topic = topic
        self._connection = log_file.connect(path)
        self._file = log_file.file_at(path)
        self._looked_at = time.monotonic()
        self._signal = log_file.signal_of(path)
        self._read_to_end_at: int | None = None
        try:
            # Readers never wait for writers, except for a moment while the last one closes the file.
            self._connection.execute("PRAGMA busy_timeout = 5000")
            self._identity = log_file.identity_of(self._connection)
            if identity and identity != self._identity:
                raise self._replaced()
            first, end = log_file.bounds(self._connection)
            self._ends = {PARTITION: end}
            self._offset = self._start(positions, first, end)
        except sqlite3.Error as error:
            self.close()
            raise log_file.reading_error(path, error) from error
        except (LogReplaced, PositionLost):
            self.close()
            raise

    @property
    def identity(self) -> str:
        """Another one where the file was deleted and made again."""
        return self._identity

    def poll(self, max_records: int, timeout: float) -> Sequence[StoredRecord]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first; ``[]`` when idle.

        Raises
        ------
        PositionLost
            Retention has taken away what comes next.
        LogReplaced
            The file was deleted; what is appended now goes into another one.
        SourceUnavailable, LogUnreadable
        """
        self._check_file()
        give_up = time.monotonic() + timeout
        while True:
            try:
                records = self._look(max_records)
            except sqlite3.Error as error:
                raise log_file.reading_error(self._path, error) from error
            left = give_up - time.monotonic()
            if records or left <= 0:
                return records
            with self._signal:
                self._signal.wait(min(left, _LOOK))

    def commit(self, positions: Positions) -> None:
        """Do nothing: no lag tool looks into the embedded log; what retention may take is told to LogRetention."""

    def ends(self) -> Mapping[int, int]:
        """Return the offset after the last record as of the last poll."""
        return self._ends

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._connection.close()

    def _check_file(self) -> None:
        """Look now and then whether the file that is open still is the one that others open under its name."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_AT_FILE:
            return
        self._looked_at = now
        if log_file.file_at(self._path) != self._file:
            raise self._replaced()

    def _replaced(self) -> LogReplaced:
        return LogReplaced(
            f"the log {self._path} is not the one that was read before: that one was deleted or moved away. Put it "
            "back with its -wal file, or learn the new one from its beginning: headrace train --from earliest"
        )

    def _start(self, positions: Positions, first: int, end: int) -> int:
        """Return the offset to start at."""
        others = positions.keys() - {PARTITION}
        if others:
            raise PositionLost(f"the log {self._topic} has only partition {PARTITION}, not {sorted(others)}")
        offset = positions.get(PARTITION, Position(first)).offset
        if first <= offset <= end:
            return offset
        raise self._lost(offset, first, end)

    def _lost(self, offset: int, first: int, end: int) -> PositionLost:
        return PositionLost(
            f"the log {self._path} holds offsets {first} to {end}, but {offset} is to be read next: retention "
            f"has taken it away, or the file is an older copy of it. Restore the log, or learn what is left of it from "
            f"its beginning: headrace train --from earliest"
        )

    def _look(self, max_records: int) -> list[StoredRecord]:
        """Return the next records, without asking for them where nothing was appended since there were none."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._read_to_end_at:
            return []
        records = self._read(max_records)
        if not records:
            self._read_to_end_at = version
        return records

    def _read(self, max_records: int) -> list[StoredRecord]:
        row = self._connection.execute(_READ, (self._offset, max_records, _POLL_BYTES)).fetchone()
        columns = _Columns(*row)
        records = self._cut(columns) if columns.rows else []
        self._ends = {PARTITION: columns.end}
        if records[0].offset != self._offset if records else columns.end > self._offset:
            raise self._lost(self._offset, *log_file.bounds(self._connection))
        if records:
            self._offset = records[-1].offset + 1
        return records

    def _cut(self, columns: "_Columns") -> list[StoredRecord]:
        """Cut records out of columns that were laid end to end."""
        sizes = list(map(int, columns.sizes.split(",")))
        if sum(sizes) != len(columns.values):
            raise LogUnreadable(f"the log {self._path} holds a value that SQLite does not hand out whole")
        ids = map(int, columns.ids.split(","))
        timestamps = map(int, columns.timestamps.split(","))
        values = columns.values
        records = []
        start = 0
        for number, timestamp, size, (key, headers) in zip(ids, timestamps, sizes, _extras(columns), strict=True):
            records.append(StoredRecord(PARTITION, number - 1, timestamp, key, values[start : start + size], headers))
            start += size
        return records


class _Columns(NamedTuple):
    """What one poll gets from SQLite; all but the first and the last are None where it gets no record."""

    rows: int
    ids: str
    timestamps: str
    sizes: str
    values: bytes
    extra_sizes: str
    extras: bytes | None
    end: int


def _extras(columns: _Columns) -> list[tuple[bytes | None, tuple[tuple[str, bytes], ...]]]:
    """Return key and headers of each record; their size is -1 where it has neither."""
    if columns.extras is None:
        return [_NO_EXTRA] * columns.rows
    extras = []
    start = 0
    for size in map(int, columns.extra_sizes.split(",")):
        if size < 0:
            extras.append(_NO_EXTRA)
            continue
        extras.append(_EXTRA.decode(columns.extras[start : start + size]))
        start += size
    return extras
