"""The bounded hand-over between the thread that polls and decodes and the thread that learns.

On the path it is the :class:`~consumers.microbatch.Feed` of the microbatcher. Its bounds are what keeps memory bounded:
when learning lags, :meth:`Prefetcher.put` blocks, polling stops, and the log holds what is to come.
"""

import threading
import time
from collections import deque
from typing import Generic

from consumers.microbatch import C, Decoded


class Prefetcher(Generic[C]):
    """A queue bounded in rows and in bytes. One thread puts, another takes.

    Parameters
    ----------
    max_rows, max_bytes
        What may wait, at most. A chunk beyond the bounds is let in alone.
    """

    def __init__(self, *, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Decoded[C], int, int]] = deque()
        self._rows = 0
        self._bytes = 0
        self._error: BaseException | None = None
        self._closed = False
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)

    @property
    def rows(self) -> int:
        """Rows waiting now; a chunk without rows counts as one."""
        return self._rows

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def put(self, decoded: Decoded[C], timeout: float | None = None) -> bool:
        """Hand a chunk over, waiting until there is room.

        Parameters
        ----------
        decoded
            The chunk.
        timeout
            Seconds to wait for room at most; None for as long as it takes.

        Returns
        -------
        bool
            False where there was no room in time, or the other side has closed: the chunk was not handed over.
        """
        # A chunk without rows takes room too, or a stream of nothing but such would grow without bound.
        rows, size = max(1, len(decoded.track)), int(decoded.track.sizes.sum())
        with self._emptied:
            self._emptied.wait_for(lambda: self._closed or self._fits(rows, size), timeout)
            if self._closed or not self._fits(rows, size):
                return False
            self._waiting.append((decoded, rows, size))
            self._rows += rows
            self._bytes += size
            self._filled.notify()
            return True

    def fail(self, error: BaseException) -> None:
        """Hand an exception over: raised at every take once what was put before it is taken."""
        with self._filled:
            self._error = error
            self._filled.notify()

    def take(self, timeout: float) -> Decoded[C] | None:
        """Return the next chunk; None where none came within `timeout` seconds, or it is closed and empty.

        Raises
        ------
        BaseException
            What the other side handed over with :meth:`fail`.
        """
        with self._filled:
            if not self._waiting and timeout > 0:
                self._wait(timeout)
            if self._waiting:
                decoded, rows, size = self._waiting.popleft()
                self._rows -= rows
                self._bytes -= size
                self._emptied.notify()
                return decoded
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Let both sides go: puts are refused from now on; what waits can still be taken. Harmless twice."""
        with self._filled:
            self._closed = True
            self._filled.notify_all()
            self._emptied.notify_all()

    def _fits(self, rows: int, size: int) -> bool:
        within = self._rows + rows <= self._max_rows and self._bytes + size <= self._max_bytes
        return within or not self._waiting

    def _wait(self, timeout: float) -> None:
        """Wait until something is there to be taken or raised."""
        give_up = time.monotonic() + timeout
        while not (self._waiting or self._closed or self._error is not None):
            left = give_up - time.monotonic()
            if left <= 0 or not self._filled.wait(left):
                return
