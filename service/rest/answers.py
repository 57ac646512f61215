"""Answers that were given under an ``Idempotency-Key``: so a retry gets the same one and appends nothing.

On the path it stands around the append of ``POST …/events``. The embedded log knows the keys of its own records, so
there a retry can never double an event; Kafka knows no keys, so there this file is what prevents it.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.durability.databases import database_errors_explained
from service.errors import RequestInvalid

MAX_KEY_LENGTH = 255

_KEPT_SECONDS = 24 * 3600.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    model TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL, answer BLOB,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (at);
"""


class Answers:
    """Remembers answers by model and key for a day. May be shared by threads and by processes.

    Parameters
    ----------
    path
        The database; made with its folder where there is none.
    pending_seconds
        After this long a request that never finished counts as dead, and its key may be used again. 0 where a second
        append under the same key does nothing: then nobody needs to wait for the first.
    now
        Clock in Unix seconds: ages must mean the same in all processes.

    Raises
    ------
    StorageFailed
        From every method, too: the database cannot be read or written now.
    """

    def __init__(self, path: Path, *, pending_seconds: float, now: Callable[[], float] = time.time) -> None:
        self._pending_seconds = pending_seconds
        self._now = now
        self._lock = threading.Lock()
        self._path = path
        with database_errors_explained(self._path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)

    def once(self, model: str, key: str, body: bytes, answer: Callable[[], bytes]) -> bytes:
        """Return the answer given before under `key`, or that of calling `answer` now.

        Raises
        ------
        RequestInvalid
            422 where `key` was used with another body; 409 where a request with it is not finished yet.
        """
        digest = hashlib.sha256(body).digest()
        known = self._reserve(model, key, digest)
        if known is not None:
            return known
        try:
            given = answer()
        except BaseException:
            self._execute("DELETE FROM answers WHERE model = ? AND key = ?", model, key)
            raise
        self._execute(
            "UPDATE answers SET answer = ?, at = ? WHERE model = ? AND key = ?", given, self._now(), model, key
        )
        return given

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _reserve(self, model: str, key: str, digest: bytes) -> bytes | None:
        """Return the known answer; None where the key now belongs to the caller."""
        now = self._now()
        with self._lock, database_errors_explained(self._path), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM answers WHERE at < ?", (now - _KEPT_SECONDS,))
            self._database.execute(
                "DELETE FROM answers WHERE model = ? AND key = ? AND answer IS NULL AND at <= ?",
                (model, key, now - self._pending_seconds),
            )
            row = self._database.execute(
                "SELECT digest, answer FROM answers WHERE model = ? AND key = ?", (model, key)
            ).fetchone()
            if row is None:
                self._database.execute("INSERT INTO answers VALUES (?, ?, ?, ?, NULL)", (model, key, digest, now))
                return None
        return _answer_of(row, digest)

    def _execute(self, statement: str, *values: object) -> None:
        with self._lock, database_errors_explained(self._path):
            self._database.execute(statement, values)


def _answer_of(row: tuple[bytes, bytes | None], digest: bytes) -> bytes:
    if row[0] != digest:
        raise RequestInvalid("this key was used with another body; take a new one", 422, "Idempotency-Key")
    if row[1] is None:
        message = "a request with this key is being answered; ask again"
        raise RequestInvalid(message, 409, "Idempotency-Key", retry_after=1.0)
    return row[1]
