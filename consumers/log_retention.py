"""What the embedded log forgets, and when: by age and by size, never past what a reader may still ask for.

Each reader keeps its floor in the log itself: the earliest offset that the oldest of its checkpoints would resume from.
Pruning stops at the lowest of them, so that several models may learn from one log.
"""

import sqlite3
import time
from pathlib import Path

from consumers import log_file
from consumers.log_file import is_busy, transaction, writing_error

# Rows deleted in one transaction: few enough that nobody who appends has to wait noticeably.
_BATCH = 2_000

_TIMEOUT = 10.0

_LAST_TO_DELETE = """
SELECT max(id) FROM (
    SELECT id, max(timestamp) OVER earlier AS newest, sum(length(value)) OVER earlier - length(value) AS bytes_before
    FROM records WHERE id <= ?1 WINDOW earlier AS (ORDER BY id ROWS UNBOUNDED PRECEDING) ORDER BY id LIMIT ?2
) WHERE newest < ?3 OR bytes_before < ?4
"""


class LogRetention:
    """Deletes the oldest records of an embedded log. Owned by one thread.

    Parameters
    ----------
    path
        The log's file.
    reader
        Name of the reader that this floor belongs to: the model's.
    max_age
        Seconds after which a record may go; None to keep records whatever their age.
    max_bytes
        Bytes of the file beyond which the oldest records go; None to let it grow.
    """

    def __init__(self, path: Path, *, reader: str, max_age: float | None = None, max_bytes: int | None = None) -> None:
        self._path = path
        self._reader = reader
        self._max_age = max_age
        self._max_bytes = max_bytes
        self._connection = log_file.connect(path)

    def prune(self, floor: int) -> int:
        """Delete what is too old or too much, never at or after the lowest floor of any reader.

        Parameters
        ----------
        floor
            The earliest offset that this reader may still ask for. Kept in the log, so call this once before reading,
            too, or another reader's pruning may overtake this one.

        Returns
        -------
        int
            How many records were deleted.

        Raises
        ------
        AppendFailed, SourceUnavailable, LogUnreadable
        """
        try:
            lowest = self._keep_floor(floor)
            deleted = 0
            while batch := self._delete_batch(lowest):
                deleted += batch
        except sqlite3.Error as error:
            raise writing_error(self._path, error) from error
        return deleted

    def forget(self, reader: str) -> None:
        """Drop the floor of a reader that will not come back."""
        with transaction(self._connection, _TIMEOUT):
            self._connection.execute("DELETE FROM floors WHERE reader = ?", (reader,))

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._connection.close()

    def _keep_floor(self, floor: int) -> int:
        """Write this reader's floor down and return the lowest one."""
        with transaction(self._connection, _TIMEOUT):
            self._connection.execute("INSERT OR REPLACE INTO floors VALUES (?, ?)", (self._reader, floor))
            (lowest,) = self._connection.execute("SELECT min(position) FROM floors").fetchone()
        return int(lowest)

    def _delete_batch(self, floor: int) -> int:
        """Delete some of the oldest records, if they may and should go; return how many."""
        with transaction(self._connection, _TIMEOUT):
            last = self._last_to_delete(floor)
            deleted = self._connection.execute("DELETE FROM records WHERE id <= ?", (last,)).rowcount
        if deleted:
            self._shrink()
        return deleted

    def _shrink(self) -> None:
        """Give the disk back what became free."""
        try:
            # As a script, because `execute` takes one step of this statement, and so frees one page.
            self._connection.executescript("PRAGMA incremental_vacuum")
        except sqlite3.OperationalError as error:
            # While somebody appends it can wait: what is free is written to again.
            if not is_busy(error):
                raise

    def _last_to_delete(self, floor: int) -> int:
        """Return the id of the last record of the batch to delete; 0 for none."""
        too_old = 0 if self._max_age is None else int((time.time() - self._max_age) * 1000)
        excess = 0 if self._max_bytes is None else max(0, self._used_bytes() - self._max_bytes)
        # Only a run from the beginning goes: what is kept stays without gaps.
        (last,) = self._connection.execute(_LAST_TO_DELETE, (floor, _BATCH, too_old, excess)).fetchone()
        return last or 0

    def _used_bytes(self) -> int:
        """Return the bytes of the file that hold something."""
        pages, free, size = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
