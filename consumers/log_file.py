"""The file of the embedded log: how it is made and opened, and what SQLite's errors mean.

One file a topic, one partition a file, one row a message; the offset is the row's id less one. ``AUTOINCREMENT`` sees
to it that an id never comes back, even after every row was deleted. The write-ahead log of SQLite lets readers and one
writer work at once, and ``synchronous=FULL`` makes a commit wait for the disk.
"""

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.errors import AppendFailed, ConsumerError, LogUnreadable, SourceUnavailable

SCHEMA_VERSION = 1

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS records (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- offset + 1
        timestamp INTEGER NOT NULL,            -- milliseconds since the epoch
        value BLOB NOT NULL,
        extra BLOB                             -- MessagePack of [key, headers]; NULL where there are none
    )""",
    """CREATE TABLE IF NOT EXISTS idempotency (
        key TEXT PRIMARY KEY,
        used_at INTEGER NOT NULL               -- milliseconds since the epoch
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (used_at)",
    """CREATE TABLE IF NOT EXISTS floors (
        reader TEXT PRIMARY KEY,
        position INTEGER NOT NULL              -- the earliest offset that this reader may still ask for
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)",
)

_SETTINGS = (
    "PRAGMA synchronous = FULL",
    # What the write-ahead log may keep of the disk once it has been written back.
    "PRAGMA journal_size_limit = 67108864",
)

_signals: dict[str, threading.Condition] = {}


def connect(path: Path, timeout: float = 30.0) -> sqlite3.Connection:
    """Open the log at `path`, which is made where it does not exist.

    Parameters
    ----------
    path
        The file.
    timeout
        Seconds to wait for other processes that hold it.

    Returns
    -------
    sqlite3.Connection
        In autocommit mode; not bound to a thread, so its user sees to it that one thread at a time is in it.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """
    try:
        _make_folder(path.parent)
        connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise SourceUnavailable(f"cannot open the log {path}: {error}. Check that the folder is writable") from error
    try:
        _prepare(connection, time.monotonic() + timeout)
    except sqlite3.Error as error:
        connection.close()
        raise reading_error(path, error) from error
    except ConsumerError:
        connection.close()
        raise
    return connection


def identity_of(connection: sqlite3.Connection) -> str:
    """Return what tells this log from one that was made again under the same name."""
    (identity,) = connection.execute("SELECT id FROM identity").fetchone()
    return str(identity)


def file_at(path: Path) -> tuple[int, int] | None:
    """Return which file lies at `path`, whatever its name: device and inode; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the offset of the earliest record kept and the offset after the last one."""
    first, end = connection.execute(
        "SELECT (SELECT min(id) FROM records), (SELECT seq FROM sqlite_sequence WHERE name = 'records')"
    ).fetchone()
    end = end or 0
    return (end if first is None else first - 1), end


def signal_of(path: Path) -> threading.Condition:
    """Return the condition that is notified of each append to the log at `path` by this process."""
    return _signals.setdefault(os.path.realpath(path), threading.Condition())


@contextmanager
def transaction(connection: sqlite3.Connection, timeout: float) -> Iterator[None]:
    """Write in one transaction, waiting at most `timeout` seconds for other writers.

    SQLite's own waiting backs off to a tenth of a second; short naps let many writers take turns.
    """
    give_up = time.monotonic() + timeout
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.001)
        else:
            break
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors (a full disk) SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection was in the way, so that trying again helps."""
    # Extended codes keep the primary one in their low byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def reading_error(path: Path, error: sqlite3.Error) -> ConsumerError:
    """Return what an error of SQLite means to a reader."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LogUnreadable(
            f"the log {path} is damaged or is no log ({error}). Restore it from a backup, or move it away with its "
            f"-wal and -shm files to start a new one; `sqlite3 FILE .recover` may save what it holds"
        )
    return SourceUnavailable(f"cannot read the log {path} now: {error}")


def writing_error(path: Path, error: sqlite3.Error) -> ConsumerError:
    """Return what an error of SQLite means to whoever appends."""
    if is_busy(error):
        return SourceUnavailable(f"the log {path} is held by other writers: {error}", retry_after=0.1)
    if isinstance(reading_error(path, error), LogUnreadable):
        return reading_error(path, error)
    return AppendFailed(f"nothing was appended to the log {path}: {error}. Check the disk's free space and its rights")


def _prepare(connection: sqlite3.Connection, give_up: float) -> None:
    """Set a connection up and make the tables, however many processes do the same at this moment."""
    while True:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise LogUnreadable(
                    f"the log has schema {version}, this version reads {SCHEMA_VERSION}: update Headrace"
                )
            if version < SCHEMA_VERSION:
                _make_tables(connection)
            for setting in _SETTINGS:
                connection.execute(setting)
        except sqlite3.OperationalError as error:
            # Switching to write-ahead logging does not wait for others as everything else does.
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _make_tables(connection: sqlite3.Connection) -> None:
    # Both must come before the first table; the file then shrinks when retention has emptied it.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection, timeout=10.0):
        for statement in _SCHEMA:
            connection.execute(statement)
        made = (uuid.uuid4().hex,)
        connection.execute("INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT * FROM identity)", made)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _make_folder(folder: Path) -> None:
    """Make `folder`, and make sure that it outlives a loss of power."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
