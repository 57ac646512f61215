"""The file of dead letters: its tables, how the schema before becomes this one, and what SQLite's errors mean.

One SQLite file a model, written by the program that reads the log, read by the trainer and by the command line.
Letters, what became of each of them, and the pause are in one file, so that one transaction settles what belongs
together.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from consumers import log_file
from consumers.errors import AppendFailed, ConsumerError, DiskUnreliable, LogUnreadable, SourceUnavailable

SCHEMA_VERSION = 2
"""1, the one before, had no number, no time of refusal, and nothing but letters and counts."""

WAITING, TOO_LARGE = 0, -1
"""What `sent` holds of a letter that waits to be forwarded, and of one that the topic would not take; NULL: is not to
be forwarded; anything else: when it was sent, in milliseconds since the epoch."""

OVERHEAD = 200
"""Bytes that a letter takes beside key, value and headers, about."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        "index" INTEGER NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        key BLOB,
        value BLOB,
        headers BLOB NOT NULL,                    -- MessagePack of [[name, value], …]
        timestamp INTEGER NOT NULL,               -- the record's, milliseconds since the epoch
        UNIQUE (topic, partition, "offset", "index")
    )""",
    "CREATE TABLE IF NOT EXISTS counts (reason TEXT PRIMARY KEY, letters INTEGER NOT NULL) WITHOUT ROWID",
)

_COLUMNS = (
    "refused_at INTEGER NOT NULL DEFAULT 0",  # milliseconds since the epoch; 0 where the schema before kept none
    "whole INTEGER NOT NULL DEFAULT 0",  # whether the letter stands for its whole message
    "size INTEGER NOT NULL DEFAULT 0",  # bytes, about
    "sent INTEGER",
    "redrive TEXT",  # NULL, 'begun' or 'done'
    "redrive_at INTEGER",
    "batch TEXT",  # which append it was sent again with
)

_NEW_TABLES = (
    "CREATE INDEX unsent ON dead_letters (id) WHERE sent = 0",
    # The last place of each partition whose letter had to make room.
    """CREATE TABLE floors (topic TEXT, partition INTEGER, "offset" INTEGER NOT NULL, "index" INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID""",
    "CREATE TABLE sums (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # At most one row.
    """CREATE TABLE pause (id INTEGER PRIMARY KEY CHECK (id = 1), reason TEXT NOT NULL, detail TEXT NOT NULL,
        since INTEGER NOT NULL, positions TEXT NOT NULL)""",
    f"""UPDATE dead_letters
        SET size = coalesce(length(key), 0) + coalesce(length(value), 0) + length(headers) + {OVERHEAD}""",
    "INSERT INTO sums SELECT 'letters', count(*) FROM dead_letters",
    "INSERT INTO sums SELECT 'bytes', coalesce(sum(size), 0) FROM dead_letters",
    "INSERT INTO sums VALUES ('unsent_pruned', 0)",
)

_NOT_KEPT = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


class DeadLetterFile:
    """One connection to a file of dead letters. May be shared by threads; other processes may have the file open too.

    Parameters
    ----------
    path
        The file; made where it does not exist.
    timeout
        Seconds to wait for other processes that write.
    clock
        The time, in seconds since the epoch.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """

    def __init__(self, path: Path, *, timeout: float = 10.0, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise SourceUnavailable(f"cannot open the dead letters {path}: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self.connection.close()
            if log_file.is_busy(error):
                raise SourceUnavailable(f"the dead letters {path} are held by another program: {error}") from error
            raise LogUnreadable(f"{path} is no file of dead letters ({error}): move it away") from error
        except ConsumerError:
            self.connection.close()
            raise

    def now(self) -> int:
        """Return the time as letters hold it, in milliseconds since the epoch."""
        return int(self._clock() * 1000)

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that a statement selects.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        with self._lock:
            try:
                return self.connection.execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise self._reading_error(error) from error

    @contextmanager
    def transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        """Write in one transaction; it is on disk when this ends without an error.

        Parameters
        ----------
        what
            What is written, for the message.

        Raises
        ------
        AppendFailed
            Nothing was written; trying again may help.
        DiskUnreliable, LogUnreadable
            Trying again does not help.
        """
        with self._lock:
            try:
                with log_file.transaction(self.connection, self._timeout):
                    yield self.connection
            except sqlite3.Error as error:
                raise self._writing_error(error, what) from error

    def copy_to(self, path: Path) -> None:
        """Write a copy, as of now, to the file at `path`, which must not be there yet.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        with self._lock, closing(sqlite3.connect(path)) as copy:
            try:
                self.connection.backup(copy)
            except sqlite3.Error as error:
                raise self._reading_error(error) from error

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with self._lock:
            self.connection.close()

    def _prepare(self) -> None:
        """Set the connection up, and make or bring up to date the tables, whoever else does the same now."""
        connection = self.connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise LogUnreadable(
                f"{self.path} has schema {version}, this version of Headrace reads {SCHEMA_VERSION}: update Headrace"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if version < SCHEMA_VERSION:
            with log_file.transaction(connection, self._timeout):
                self._migrate()

    def _migrate(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return  # Another process was faster.
        columns = [f"ALTER TABLE dead_letters ADD COLUMN {column}" for column in _COLUMNS]
        for statement in (*_TABLES, *columns, *_NEW_TABLES):
            self.connection.execute(statement)
        self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _reading_error(self, error: sqlite3.Error) -> ConsumerError:
        if _is_damage(error):
            return LogUnreadable(f"the dead letters {self.path} are damaged ({error}): move the file away")
        return SourceUnavailable(f"cannot read the dead letters {self.path} now: {error}")

    def _writing_error(self, error: sqlite3.Error, what: str) -> ConsumerError:
        if getattr(error, "sqlite_errorcode", 0) in _NOT_KEPT:
            return DiskUnreliable(
                f"the disk did not keep what was written to {self.path} ({error}): check it before starting again"
            )
        if _is_damage(error):
            return self._reading_error(error)
        return AppendFailed(f"{what} could not be written to {self.path}: {error}. Check the disk")


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
