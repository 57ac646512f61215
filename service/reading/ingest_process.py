"""The program that polls and decodes for a trainer, so that this and learning each have a core.

The trainer starts this module as a program (``reading_program.py``) at one end of a socket pair, or several of them,
each for a share of the partitions (``ingest_programs.py``); over it come the settings and where to begin, and back go
decoded chunks; over another one, past what waits in the first, goes how the log is doing. What the socket and mapped
memory (``shared_chunks.py``) may hold is the bound on what waits: beyond it, the program waits, and the log holds what
is to come. It ends when the trainer does, however that ends, because its socket does.
"""

import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import NoReturn

import structlog

from consumers.errors import ConsumerError
from consumers.microbatch import Decoded
from consumers.source import Positions
from models.examples import Examples, Label, Task
from service.decoding.decisions import ENOUGH_LABELS
from service.decoding.tasks import TaskGate
from service.errors import ServiceError
from service.logs import configure_logs
from service.reading.ingest import IngestLoop
from service.reading.reading_messages import Answer, Chunk, Failure, Job, Notice, Opened, Question, Report, Taken
from service.reading.refusals import make_refusals
from service.reading.shared_chunks import send
from service.reading.steady_memory import keep_memory_steady
from service.wiring import make_decoder, make_source, open_dead_letters

_log = structlog.get_logger("headrace.ingest")

_REPORT_EVERY = 0.05
"""Seconds between two reports of where the log ends, which moves with every poll: sizes of microbatches follow it."""

_MAPPED_BYTES = 4 * 1024 * 1024
"""What may be on the way to the trainer in mapped memory, beside what the socket holds; one chunk more may be."""


class _Pipe:
    """The program's outlet: the trainer's end of the socket. See :class:`service.reading.ingest.Outlet`.

    The trainer is also the authority over task and classes (:class:`service.decoding.decisions.Authority`).
    """

    def __init__(self, connection: Connection, reports: Connection) -> None:
        self._connection, self._reports = connection, reports
        self._commit: Positions | None = None
        self._on_the_way = 0
        self._waiting: bool | None = None
        self._report_at = 0.0

    def opened(self, identity: str) -> None:
        self._send(Opened(identity))

    def put(self, decoded: Decoded[Examples], gate: TaskGate) -> None:  # noqa: ARG002 -- it has asked the trainer
        self._send(Chunk(decoded))

    def report(self, ends: Mapping[int, int], *, waiting: bool) -> None:
        now = time.monotonic()
        if waiting == self._waiting and now < self._report_at:
            return
        # A trainer that takes nothing for long, as its disk is full, say, hears of it from the next one.
        if select.select((), (self._reports,), (), 0)[1]:
            self._waiting, self._report_at = waiting, now + _REPORT_EVERY
            self._reports.send(Report(dict(ends), waiting))

    def notice(self, message: str) -> None:
        self._send(Notice(message))

    def to_commit(self) -> Positions | None:
        positions, self._commit = self._commit, None
        return positions

    def pause(self, seconds: float) -> bool:
        """Hear what the trainer wants meanwhile; unasked, it only sends positions to commit, and what it took."""
        give_up = time.monotonic() + seconds
        while self._connection.poll(max(0.0, give_up - time.monotonic())):
            self._hear()
        return True

    def weigh(self, labels: Sequence[Label]) -> Task | None:
        """Ask the trainer; so many labels settle a task at the latest, so the others need not go over."""
        return self._ask("weigh", labels[:ENOUGH_LABELS]).task

    def conclude(self) -> Task:
        """Ask the trainer."""
        task = self._ask("conclude", ()).task
        assert task is not None, "whoever concludes has settled it"  # noqa: S101
        return task

    def admit(self, labels: Sequence[Label]) -> Sequence[Label]:
        """Ask the trainer."""
        return self._ask("admit", labels).classes

    def fail(self, error: Exception) -> None:
        self._send(Failure(error))

    def _ask(self, about: str, labels: Sequence[Label]) -> Answer:
        self._send(Question(about, list(labels)))
        while (answer := self._hear()) is None:
            pass
        return answer

    def _send(self, message: object) -> None:
        """Send a message, once there is room for the memory that it takes."""
        while self._on_the_way > _MAPPED_BYTES:
            self._hear()
        self._on_the_way += send(self._connection, message)

    def _hear(self) -> Answer | None:
        """Wait for what the trainer says, and take it in; return it where it is an answer."""
        message = self._connection.recv()
        if isinstance(message, Answer):
            return message
        if isinstance(message, Taken):
            self._on_the_way -= message.size
        else:
            self._commit = message
        return None


def main(arguments: Sequence[str]) -> NoReturn:
    """Read for the trainer at the other ends of the sockets that the arguments are the descriptors of."""
    # A terminal's Ctrl-C is for the trainer, which then ends this program by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_memory_steady()
    configure_logs()
    connection, reports = (Connection(int(each)) for each in arguments)
    try:
        _read(connection, reports)
    except (EOFError, OSError):
        sys.exit(0)
    sys.exit(1)


def _read(connection: Connection, reports: Connection) -> None:
    job: Job = connection.recv()
    model = job.settings.models[job.model]
    options = model.events
    outlet = _Pipe(connection, reports)
    try:
        source = make_source(job.settings, job.model, job.share)
        table = open_dead_letters(job.settings, job.model)
        refusals = make_refusals(job.settings, job.model, table, source.topic, job.share)
        loop = IngestLoop(
            source,
            job.start,
            make_decoder(job.settings, job.model, job.start.positions),
            TaskGate(job.start.task, job.start.classes, most_classes=options.max_classes, authority=outlet),
            refusals=refusals,
            outlet=outlet,
            max_delay=model.microbatch.max_delay_ms / 1000,
        )
        loop.run()
    except (EOFError, OSError):
        raise
    except (ConsumerError, ServiceError) as error:
        _fail(outlet, error)
    # The trainer is to end with the reason, rather than to start a program again that fails again.
    except Exception as error:  # noqa: BLE001
        _log.exception("reading failed")
        _fail(outlet, ServiceError(f"reading failed: {error!r}; this is a defect of Headrace, please report it"))


def _fail(outlet: _Pipe, error: Exception) -> None:
    """Have the trainer raise `error`, and wait for it to end: a program that ended before would be started again."""
    outlet.fail(error)
    while outlet.pause(60):
        pass
