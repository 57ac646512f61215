"""The database under the command table: made at the first order, opened again where another file lies in its place."""

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from consumers.log_file import file_at
from service.durability.databases import database_errors_explained

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
    number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    caller TEXT NOT NULL, key TEXT, ordered_at REAL NOT NULL,
    outcome TEXT, epoch INTEGER NOT NULL DEFAULT 0, finished_at REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS commands_by_key ON commands (model, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS commands_pending ON commands (model, number) WHERE outcome IS NULL;
"""


class CommandFile:
    """One connection, for one thread at a time.

    Parameters
    ----------
    path
        The database.
    patience
        Seconds to wait for other processes that write.

    Attributes
    ----------
    identity
        What tells this table from one that was made anew; empty before it was opened.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self.identity = ""
        self._path = path
        self._patience = patience
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @contextlib.contextmanager
    def existing(self) -> Iterator[sqlite3.Connection | None]:
        """Give the database for a statement; None where there is none.

        Raises
        ------
        StorageFailed
        """
        with self._lock, database_errors_explained(self._path):
            found = file_at(self._path)
            if found is None or found != self._file:
                self._close()
            yield None if found is None else self._database or self._open()

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Give the database, made where there is none, for one transaction.

        Raises
        ------
        StorageFailed
        """
        with self._lock, database_errors_explained(self._path):
            if self._file is None or file_at(self._path) != self._file:
                self._close()
            database = self._database or self._open()
            # Python's own transaction control would begin a deferred one, which may have to give up half-way.
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def close(self) -> None:
        """Close it; the next use opens it again."""
        with self._lock:
            self._close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            # An order that was acknowledged outlives the machine.
            database.execute("PRAGMA synchronous=FULL")
            if (
                database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'commands_pending'").fetchone()[0]
                == 0
            ):
                database.executescript(_SCHEMA)
            made = "INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT * FROM identity)"
            if database.execute("SELECT count(*) FROM identity").fetchone()[0] == 0:
                database.execute(made, (uuid.uuid4().hex[:12],))
            (self.identity,) = database.execute("SELECT id FROM identity").fetchone()
        except BaseException:
            database.close()
            raise
        self._database, self._file = database, file_at(self._path)
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = self._file = None
