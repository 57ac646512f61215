"""Polling and decoding in a thread of the trainer: for sources that live in its memory, and to spare a process."""

import threading
from collections.abc import Callable, Mapping

from consumers.microbatch import Decoded
from consumers.prefetch import Prefetcher
from consumers.source import Positions
from models.examples import Examples, Label, Task
from service.decoding.tasks import TaskGate
from service.reading.ingest import IngestLoop, Outlet, Start


class ThreadIngest:
    """See :class:`service.reading.ingest.Ingest`.

    Parameters
    ----------
    make_loop
        Makes the loop for an outlet; called once.
    start
        Where it begins.
    max_rows, max_bytes
        Bounds on what is decoded and waits for the learner.
    notice
        Called with what to tell the operator.
    """

    def __init__(
        self,
        make_loop: Callable[[Outlet], IngestLoop],
        start: Start,
        *,
        max_rows: int,
        max_bytes: int,
        notice: Callable[[str], None],
    ) -> None:
        self._queue: Prefetcher[Examples] = Prefetcher(max_rows=max_rows, max_bytes=max_bytes)
        self._task, self._classes, self._identity = start.task, start.classes, start.identity
        self._ends: Mapping[int, int] = {}
        self._waiting = True
        self._commit: Positions | None = None
        self._notice = notice
        self._stop = threading.Event()
        self._loop = make_loop(self)
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    # What the learning side sees.

    @property
    def task(self) -> Task | None:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._task

    @property
    def classes(self) -> tuple[Label, ...]:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._classes

    @property
    def identity(self) -> str:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._identity

    @property
    def ends(self) -> Mapping[int, int]:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._ends

    @property
    def waiting_for_source(self) -> bool:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._waiting

    def take(self, timeout: float) -> Decoded[Examples] | None:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._queue.take(timeout)

    def commit(self, positions: Positions) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        self._commit = positions

    def close(self) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        self._stop.set()
        self._queue.close()
        self._thread.join()

    # What the loop sees: an outlet.

    def opened(self, identity: str) -> None:
        """See :class:`service.reading.ingest.Outlet`."""
        self._identity = identity

    def put(self, decoded: Decoded[Examples], gate: TaskGate) -> None:
        """See :class:`service.reading.ingest.Outlet`."""
        self._task, self._classes = gate.task, gate.classes
        self._queue.put(decoded)

    def report(self, ends: Mapping[int, int], *, waiting: bool) -> None:
        """See :class:`service.reading.ingest.Outlet`."""
        self._waiting = waiting
        self._ends = ends or self._ends

    def notice(self, message: str) -> None:
        """See :class:`service.reading.ingest.Outlet`."""
        self._notice(message)

    def to_commit(self) -> Positions | None:
        """See :class:`service.reading.ingest.Outlet`."""
        positions, self._commit = self._commit, None
        return positions

    def pause(self, seconds: float) -> bool:
        """See :class:`service.reading.ingest.Outlet`."""
        return not (self._stop.wait(seconds) if seconds else self._stop.is_set())

    def _run(self) -> None:
        try:
            self._loop.run()
        # Whatever it is, the learning thread must hear of it: it raises it again and ends in order.
        except BaseException as error:  # noqa: BLE001
            self._queue.fail(error)
