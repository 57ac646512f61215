"""Polling and decoding in a process of their own, so that they and learning each have a core.

The trainer starts this module as a program (``reading_program.py``) at one end of a socket pair; over it come the
settings and where to begin, and back go decoded chunks. The socket's buffer is the bound on what waits: when it is
full, the program waits, and the log holds what is to come. The program ends when the trainer does, however that ends,
because its socket does.
"""

import contextlib
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import NoReturn

import structlog

from consumers.errors import ConsumerError
from consumers.microbatch import Decoded
from consumers.source import Positions
from models.examples import Examples, Label, Task
from service.config import Settings
from service.decoding.tasks import TaskGate
from service.errors import ServiceError
from service.events import EventDecoder
from service.logs import configure_logs
from service.reading.ingest import IngestLoop, Start
from service.reading.reading_program import ReadingProgram, start_program
from service.reading.refusals import make_refusals
from service.reading.steady_memory import keep_memory_steady
from service.wiring import make_schemas, make_source, open_dead_letters

_log = structlog.get_logger("headrace.ingest")

_REPORT_EVERY = 0.2
"""Seconds between two reports of where the log ends; it moves with every poll."""

_STEADY_SECONDS, _PAUSE_SECONDS = 5.0, 1.0
"""A program that lived for less than the first is started again only after the second."""


@dataclass(frozen=True)
class Job:
    """What the program is to do: whose topic, and from where."""

    settings: Settings
    model: str
    start: Start


@dataclass(frozen=True)
class _Opened:
    identity: str


@dataclass(frozen=True)
class _Chunk:
    decoded: Decoded[Examples]
    task: Task | None
    classes: tuple[Label, ...]


@dataclass(frozen=True)
class _Report:
    ends: Mapping[int, int]
    waiting: bool


@dataclass(frozen=True)
class _Notice:
    message: str


@dataclass(frozen=True)
class _Failure:
    error: Exception


@dataclass
class _Progress:
    """How far chunks have come.

    Attributes
    ----------
    reached
        Where a new program would have to begin.
    """

    reached: Start
    ends: dict[int, int] = field(default_factory=dict)
    waiting: bool = True


class ProcessIngest:
    """See :class:`service.reading.ingest.Ingest`. If the program dies, another one goes on where it ended.

    Parameters
    ----------
    job
        What to read.
    notice
        Called with what to tell the operator.
    start_program
        Gives a program that waits for its job.
    """

    def __init__(
        self, job: Job, notice: Callable[[str], None], start_program: Callable[[], ReadingProgram] = start_program
    ) -> None:
        self._job = job
        self._notice = notice
        self._start_program = start_program
        self._progress = _Progress(job.start)
        self._lock = threading.Lock()  # of sending: commits come from the checkpointer's thread
        self._started = time.monotonic()
        self._program = self._start_with(job)

    @property
    def task(self) -> Task | None:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._progress.reached.task

    @property
    def classes(self) -> tuple[Label, ...]:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._progress.reached.classes

    @property
    def identity(self) -> str:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._progress.reached.identity

    @property
    def ends(self) -> Mapping[int, int]:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._progress.ends

    @property
    def waiting_for_source(self) -> bool:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._progress.waiting

    def take(self, timeout: float) -> Decoded[Examples] | None:
        """See :class:`service.reading.ingest.Ingest`."""
        give_up = time.monotonic() + timeout
        while self._program.connection.poll(max(0.0, give_up - time.monotonic())):
            try:
                message = pickle.loads(self._program.connection.recv_bytes())  # noqa: S301 -- from a program started here
            except (EOFError, OSError):
                self._start_again()
                continue
            found = self._hear(message)
            if found is not None:
                return found
        return None

    def commit(self, positions: Positions) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        try:
            with self._lock:
                self._program.connection.send(dict(positions))
        except OSError:
            _log.debug("a commit was lost with the reading program; the next one makes up for it")

    def close(self) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        self._program.close()

    def _hear(self, message: object) -> Decoded[Examples] | None:
        """Take in what the program says; return the chunk, where it is one."""
        reached = self._progress.reached
        match message:
            case _Opened(identity):
                self._progress.reached = replace(reached, identity=identity)
            case _Chunk(decoded, task, classes):
                positions = {**reached.positions, **decoded.positions}
                self._progress.reached = Start(positions, task, classes, reached.identity)
                return decoded
            case _Report(ends, waiting):
                self._progress.ends.update(ends)
                self._progress.waiting = waiting
            case _Notice(text):
                self._notice(text)
            case _Failure(error):
                raise error
        return None

    def _start_again(self) -> None:
        """Start another program where the chunks of the dead one ended."""
        self._program.process.wait()
        if time.monotonic() - self._started < _STEADY_SECONDS:
            time.sleep(_PAUSE_SECONDS)
        _log.warning("the reading program died; starting it again", status=self._program.process.returncode)
        job = replace(self._job, start=self._progress.reached)
        with self._lock:
            self._program.connection.close()
            self._started = time.monotonic()
            self._program = self._start_with(job)

    def _start_with(self, job: Job) -> ReadingProgram:
        program = self._start_program()
        # One that dies before it has its job is noticed like any other.
        with contextlib.suppress(OSError):
            program.connection.send(job)
        return program


class _Pipe:
    """The program's outlet: the trainer's end of the socket. See :class:`service.reading.ingest.Outlet`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._commit: Positions | None = None
        self._waiting: bool | None = None
        self._report_at = 0.0

    def opened(self, identity: str) -> None:
        self._send(_Opened(identity))

    def put(self, decoded: Decoded[Examples], gate: TaskGate) -> None:
        self._send(_Chunk(decoded, gate.task, gate.classes))

    def report(self, ends: Mapping[int, int], *, waiting: bool) -> None:
        now = time.monotonic()
        if waiting != self._waiting or now >= self._report_at:
            self._waiting, self._report_at = waiting, now + _REPORT_EVERY
            self._send(_Report(dict(ends), waiting))

    def notice(self, message: str) -> None:
        self._send(_Notice(message))

    def to_commit(self) -> Positions | None:
        positions, self._commit = self._commit, None
        return positions

    def pause(self, seconds: float) -> bool:
        """Hear what the trainer wants meanwhile; it only ever sends positions to commit."""
        give_up = time.monotonic() + seconds
        while self._connection.poll(max(0.0, give_up - time.monotonic())):
            self._commit = self._connection.recv()
        return True

    def fail(self, error: Exception) -> None:
        self._send(_Failure(error))

    def _send(self, message: object) -> None:
        self._connection.send_bytes(pickle.dumps(message, protocol=5))


def main(arguments: Sequence[str]) -> NoReturn:
    """Read for the trainer at the other end of the socket that the first argument is the descriptor of."""
    # A terminal's Ctrl-C is for the trainer, which then ends this program by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_memory_steady()
    configure_logs()
    connection = Connection(int(arguments[0]))
    try:
        _read(connection)
    except (EOFError, OSError):
        sys.exit(0)
    sys.exit(1)


def _read(connection: Connection) -> None:
    job: Job = connection.recv()
    model = job.settings.models[job.model]
    options = model.events
    outlet = _Pipe(connection)
    try:
        source = make_source(job.settings, job.model)
        table = open_dead_letters(job.settings, job.model)
        refusals = make_refusals(job.settings, job.model, table, source.topic)
        loop = IngestLoop(
            source,
            job.start,
            _decoder(job),
            TaskGate(job.start.task, job.start.classes, most_classes=options.max_classes),
            refusals=refusals,
            outlet=outlet,
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


def _decoder(job: Job) -> EventDecoder:
    model = job.settings.models[job.model]
    return EventDecoder(
        model.events,
        job.start.positions,
        observations=model.teacher is not None,
        schemas=make_schemas(job.settings, job.model),
    )


def _fail(outlet: _Pipe, error: Exception) -> None:
    """Have the trainer raise `error`, and wait for it to end: a program that ended before would be started again."""
    outlet.fail(error)
    while outlet.pause(60):
        pass
