"""Appending to the embedded log: durable when it returns, from many threads and processes at once.

On the path it stands between the events endpoint and the log. Threads that append at the same moment share one
transaction, and so one wait for the disk.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from consumers import log_file
from consumers.errors import AppendFailed, ConsumerError, SourceUnavailable
from consumers.source import NewRecord

# SQLite itself cuts the rows out of one blob: with a statement for each row Python's lock is let go and asked for again
# each time, which beside a busy thread costs milliseconds a row.
_INSERT = """
INSERT INTO records (timestamp, value)
SELECT ?1, substr(?2, (value >> 31) + 1, value & 0x7fffffff) FROM json_each(?3)
"""
_INSERT_WITH_EXTRAS = """
INSERT INTO records (timestamp, value, extra)
SELECT ?1, substr(?2, (of_value >> 31) + 1, of_value & 0x7fffffff),
           substr(?2, (of_extra >> 31) + 1, of_extra & 0x7fffffff)
FROM (SELECT json_extract(value, '$[0]') AS of_value, json_extract(value, '$[1]') AS of_extra FROM json_each(?3))
"""

# SQLite holds no blob beyond a thousand million bytes; a call that is larger goes in pieces, in one transaction.
_PIECE_BYTES = 64 * 1024 * 1024
_LARGEST_RECORD = 900_000_000


@dataclass(slots=True)
class _Piece:
    """Records as one blob, and where each of them lies in it: ``start << 31 | length``."""

    # Never empty: an empty blob would be bound as NULL, and cutting an empty value out of NULL gives NULL.
    blob: bytearray = field(default_factory=lambda: bytearray(1))
    spans: list[tuple[int, int | None]] = field(default_factory=list)
    extras: bool = False

    def add(self, record: NewRecord) -> None:
        value = self._span(record.value)
        extra = None
        if record.key is not None or record.headers:
            extra = self._span(msgspec.msgpack.encode((record.key, record.headers)))
            self.extras = True
        self.spans.append((value, extra))

    def _span(self, content: bytes) -> int:
        start = len(self.blob)
        self.blob += content
        return start << 31 | len(content)

    def insert(self, connection: sqlite3.Connection, now: int) -> None:
        spans = self.spans if self.extras else [value for value, _ in self.spans]
        statement = _INSERT_WITH_EXTRAS if self.extras else _INSERT
        connection.execute(statement, (now, self.blob, msgspec.json.encode(spans).decode()))


@dataclass(slots=True, eq=False)
class _Request:
    """One call of :meth:`LogSink.append`, perhaps carried out by another thread."""

    pieces: list[_Piece]
    idempotency_key: str | None
    appended: bool | None = None
    error: ConsumerError | None = None


class LogSink:
    """Appends to the embedded log. May be shared by threads.

    Parameters
    ----------
    path
        The log's file; made where it does not exist.
    remember_keys
        Seconds for which an idempotency key is remembered at least.
    timeout
        Seconds to wait for other processes that write, at most.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """

    def __init__(self, path: Path, *, remember_keys: float = 86_400.0, timeout: float = 10.0) -> None:
        self._path = path
        self._remember_ms = int(remember_keys * 1000)
        self._timeout = timeout
        self._open()
        self._signal = log_file.signal_of(path)
        self._waiting: deque[_Request] = deque()
        self._writing = threading.Lock()
        self._closed = False

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        """Append `records`, all or none; they are on disk when this returns.

        Parameters
        ----------
        records
            What to append, in order.
        idempotency_key
            A second append with the same key does nothing, for as long as keys are remembered.

        Returns
        -------
        bool
            Whether the records were appended now; False where `idempotency_key` was known already.

        Raises
        ------
        AppendFailed, SourceUnavailable, LogUnreadable
            None of the records was appended.
        """
        request = _Request(_pieces(records), idempotency_key)
        self._waiting.append(request)
        # Whoever gets the lock first writes for all who wait for it: the others find their request done.
        with self._writing:
            if self._closed:
                raise SourceUnavailable(f"the log {self._path} was closed by this process: open a new sink")
            if request.appended is None and request.error is None:
                self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        if request.error is not None:
            raise request.error
        return bool(request.appended)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with self._writing:
            self._closed = True
            self._connection.close()

    def _open(self) -> None:
        self._connection = log_file.connect(self._path)
        self._file = log_file.file_at(self._path)

    def _write(self, requests: Sequence[_Request]) -> None:
        """Carry out `requests` in one transaction; each learns of its result or its error."""
        try:
            # What went into a deleted file would be acknowledged, and never read.
            if log_file.file_at(self._path) != self._file:
                self._connection.close()
                self._open()
            self._transact(requests)
        except ConsumerError as error:
            for request in requests:
                request.error = error
        except sqlite3.Error as error:
            for request in requests:
                request.error = log_file.writing_error(self._path, error)
        except BaseException:
            # An interrupt goes on to the caller; those whose requests were taken along must not take it for success.
            for request in requests:
                request.error = AppendFailed(f"appending to the log {self._path} was interrupted; nothing was appended")
            raise
        with self._signal:
            self._signal.notify_all()

    def _transact(self, requests: Sequence[_Request]) -> None:
        now = time.time_ns() // 1_000_000
        with log_file.transaction(self._connection, self._timeout):
            outcomes = [self._insert(request, now) for request in requests]
        for request, appended in zip(requests, outcomes, strict=True):
            request.appended = appended

    def _insert(self, request: _Request, now: int) -> bool:
        """Insert the rows of one request, unless its key is known."""
        key = request.idempotency_key
        if key is not None:
            self._connection.execute("DELETE FROM idempotency WHERE used_at < ?", (now - self._remember_ms,))
            known = self._connection.execute("INSERT OR IGNORE INTO idempotency VALUES (?, ?)", (key, now))
            if not known.rowcount:
                return False
        for piece in request.pieces:
            piece.insert(self._connection, now)
        return True


def _pieces(records: Sequence[NewRecord]) -> list[_Piece]:
    """Lay records out as SQLite takes them."""
    pieces: list[_Piece] = []
    for record in records:
        if len(record.value) > _LARGEST_RECORD:
            raise AppendFailed(f"a record of {len(record.value)} bytes is too large for the log: split it")
        if not pieces or len(pieces[-1].blob) + len(record.value) > _PIECE_BYTES:
            pieces.append(_Piece())
        pieces[-1].add(record)
    return pieces
