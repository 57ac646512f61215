"""Events that could not be used, kept with the reason, so that they can be looked at and sent again.

On the path it stands beside the decoder: what is refused goes here, and the stream goes on. An event is known by its
place in the log, so learning the same stretch of the log again after a restart adds nothing.
"""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consumers.errors import AppendFailed, LogUnreadable, SourceUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    UNIQUE (topic, partition, "offset", "index")
);
CREATE TABLE IF NOT EXISTS counts (reason TEXT PRIMARY KEY, letters INTEGER NOT NULL) WITHOUT ROWID;
"""

_INSERT = """
INSERT OR IGNORE INTO dead_letters
    (topic, partition, "offset", "index", reason, detail, key, value, headers, timestamp)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_COUNT = """
INSERT INTO counts VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET letters = letters + 1
"""

_LIST = """
SELECT topic, partition, "offset", "index", reason, detail, key, value, headers, timestamp
FROM dead_letters ORDER BY id LIMIT ? OFFSET ?
"""

_HEADERS = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be used.

    Attributes
    ----------
    topic, partition, offset
        The message that it came in.
    index
        Its number within the message.
    reason
        One of a fixed set of words, for counting.
    detail
        What exactly was wrong, for a person.
    key, value, headers
        Of the message, as far as they are of use in looking at the event or sending it again.
    timestamp
        The message's, in milliseconds since the epoch.
    """

    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


class DeadLetters:
    """A file of dead letters. May be shared by threads, and read by other processes.

    Parameters
    ----------
    path
        The file; made where it does not exist.
    keep
        Letters beyond this many push the oldest out; the counts go on counting them.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """

    def __init__(self, path: Path, *, keep: int = 100_000) -> None:
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise SourceUnavailable(f"cannot open the dead letters {path}: {error}") from error
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._connection.close()
            raise LogUnreadable(f"{path} is no file of dead letters ({error}): move it away") from error

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Keep `letters`; they are on disk when this returns.

        Returns
        -------
        int
            How many of them were not known yet.

        Raises
        ------
        AppendFailed
            None of them was kept.
        """
        if not letters:
            return 0
        with self._lock:
            try:
                return self._add(letters)
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise AppendFailed(
                    f"{len(letters)} dead letters could not be written to {self._path}: {error}. Check the disk"
                ) from error

    def counts(self) -> dict[str, int]:
        """Return reason → how many letters there ever were."""
        with self._lock:
            return dict(self._connection.execute("SELECT reason, letters FROM counts"))

    def list(self, limit: int, offset: int = 0) -> list[DeadLetter]:
        """Return up to `limit` letters, the oldest first, after passing over `offset` of them."""
        with self._lock:
            rows = self._connection.execute(_LIST, (limit, offset)).fetchall()
        return [_letter(row) for row in rows]

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with self._lock:
            self._connection.close()

    def _add(self, letters: Sequence[DeadLetter]) -> int:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        added = 0
        for letter in letters:
            if connection.execute(_INSERT, _row(letter)).rowcount:
                connection.execute(_COUNT, (letter.reason,))
                added += 1
        connection.execute("DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?", (self._keep,))
        connection.execute("COMMIT")
        return added


def _row(letter: DeadLetter) -> tuple[object, ...]:
    """Return `letter` as its row."""
    place = (letter.topic, letter.partition, letter.offset, letter.index)
    headers = msgspec.msgpack.encode(letter.headers)
    return (*place, letter.reason, letter.detail, letter.key, letter.value, headers, letter.timestamp)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    """Return the letter that a row holds."""
    topic, partition, offset, index, reason, detail, key, value, headers, timestamp = row
    decoded = _HEADERS.decode(headers)
    return DeadLetter(topic, partition, offset, index, reason, detail, key, value, decoded, timestamp)
