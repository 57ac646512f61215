"""The learning side of reading in processes of their own: starts them, hears them, and decides where they must agree.

On the path it is the feed of the microbatcher. Each program (``ingest_process.py``) reads a share of the partitions,
and hands chunks over in the order of the log within each partition; between partitions there is no order, with one
program or with several, and what a microbatch holds of each is in the journal. What they must agree on, task and
classes, is decided here (``decisions.py``), and noted before anything is learned that relies on it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

import structlog

from consumers.errors import LogReplaced
from consumers.microbatch import Decoded
from consumers.source import Position, Positions, Share
from models.examples import Examples, Label, Task
from service.decoding.decisions import Decisions
from service.reading.ingest import Start
from service.reading.reading_messages import Answer, Chunk, Failure, Job, Notice, Opened, Question, Report, Taken
from service.reading.reading_program import ReadingProgram, start_program
from service.reading.shared_chunks import receive
from service.wiring import reading_processes

_log = structlog.get_logger("headrace.ingest")

_STEADY_SECONDS, _PAUSE_SECONDS = 5.0, 1.0
"""A program that lived for less than the first is started again only after the second."""


@dataclass(slots=True)
class _Reader:
    """One program.

    Attributes
    ----------
    share
        The partitions that it reads.
    program, started
        The program as it runs now, and since when: monotonic seconds.
    waiting
        Whether it cannot reach the log.
    """

    share: Share
    program: ReadingProgram
    started: float
    waiting: bool = True

    @property
    def connection(self) -> Connection:
        """Our end of its socket."""
        return self.program.connection


class ProcessIngest:
    """See :class:`service.reading.ingest.Ingest`. If a program dies, another one goes on where its chunks ended.

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
        self._positions: dict[int, Position] = dict(job.start.positions)
        self._identity = job.start.identity
        self._ends: dict[int, int] = {}
        self._arrived = 0.0
        self._noticed: tuple[int, str] | None = None
        most = job.settings.models[job.model].events.max_classes
        self._decisions = Decisions(job.start.task, job.start.classes, most_classes=most)
        self._lock = threading.Lock()  # of sending: commits come from the checkpointer's thread
        count = max(1, reading_processes(job.settings))
        # All are started before the first has its job, for that is what takes time.
        programs = [start_program() for _ in range(count)]
        self._readers = [
            _Reader(Share(number, count), program, time.monotonic()) for number, program in enumerate(programs)
        ]
        for reader in self._readers:
            self._give_job(reader)

    @property
    def task(self) -> Task | None:
        """See :class:`service.reading.ingest.Ingest`."""
        return self._decisions.task

    @property
    def classes(self) -> tuple[Label, ...]:
        """See :class:`service.reading.ingest.Ingest`; perhaps also those of chunks that are still to come."""
        return self._decisions.classes

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
        return any(reader.waiting for reader in self._readers)

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the programs, in the order of their shares."""
        return tuple(reader.program.process.pid for reader in self._readers)

    def take(self, timeout: float) -> Decoded[Examples] | None:
        """See :class:`service.reading.ingest.Ingest`."""
        give_up = time.monotonic() + timeout
        while ready := wait(self._connections(), max(0.0, give_up - time.monotonic())):
            for reader in [each for each in self._readers if each.program.reports in ready]:
                self._take_report(reader)
            for reader in [each for each in self._readers if each.connection in ready]:
                found = self._receive(reader)
                if found is not None:
                    # Whoever was heard is the last to be heard again: none starves the others.
                    self._readers.remove(reader)
                    self._readers.append(reader)
                    return found
        return None

    def commit(self, positions: Positions) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        for reader in tuple(self._readers):
            try:
                with self._lock:
                    reader.connection.send(reader.share.of_positions(positions))
            except OSError:
                _log.debug("a commit was lost with the reading program; the next one makes up for it")

    def close(self) -> None:
        """See :class:`service.reading.ingest.Ingest`."""
        for reader in self._readers:
            # All are told before the first is waited for.
            reader.connection.close()
            reader.program.reports.close()
        for reader in self._readers:
            reader.program.close()

    def _connections(self) -> list[Connection]:
        """Return where anything may come from."""
        reports = [each.program.reports for each in self._readers if not each.program.reports.closed]
        return [*(each.connection for each in self._readers), *reports]

    def _take_report(self, reader: _Reader) -> None:
        """Take in how the log is doing."""
        try:
            report: Report = reader.program.reports.recv()
        except (EOFError, OSError):
            # It is dead: what it sent before is still to be heard over the other socket, and then its end.
            reader.program.reports.close()
            return
        self._ends.update(report.ends)
        reader.waiting = report.waiting

    def _receive(self, reader: _Reader) -> Decoded[Examples] | None:
        """Take in what a program says; return the chunk, where it is one."""
        try:
            message, mapped = receive(reader.connection)
        except (EOFError, OSError):
            self._start_again(reader)
            return None
        if mapped:
            self._send(reader, Taken(mapped))
        match message:
            case Chunk(decoded):
                self._positions |= decoded.positions
                # As if one had polled for all: what waits longest is first.
                self._arrived = max(self._arrived, decoded.arrived)
                return replace(decoded, arrived=self._arrived)
            case Question(about, labels):
                self._answer(reader, about, labels)
            case Opened(identity):
                self._check(identity)
            case Notice(text):
                self._tell(reader, text)
            case Failure(error):
                raise error
        return None

    def _answer(self, reader: _Reader, about: str, labels: Sequence[Label]) -> None:
        match about:
            case "weigh":
                self._decisions.weigh(labels)
            case "conclude":
                self._decisions.conclude()
            case "admit":
                self._decisions.admit(labels)
        self._send(reader, Answer(self._decisions.task, self._decisions.classes))

    def _send(self, reader: _Reader, message: object) -> None:
        # A program that is dead by now is noticed when it is heard next.
        with contextlib.suppress(OSError), self._lock:
            reader.connection.send(message)

    def _check(self, identity: str) -> None:
        """Take in which log a program reads: the same as all others."""
        if self._identity and identity and identity != self._identity:
            raise LogReplaced(
                f"the topic of model {self._job.model} was made again while its reading began: start again to learn it"
            )
        self._identity = identity or self._identity

    def _tell(self, reader: _Reader, text: str) -> None:
        """Tell the operator what a program says; what another has just said is not said again."""
        if self._noticed is None or self._noticed[1] != text or self._noticed[0] == reader.share.number:
            self._notice(text)
            self._noticed = reader.share.number, text

    def _start_again(self, reader: _Reader) -> None:
        """Start another program where the chunks of the dead one ended."""
        reader.program.process.kill()  # one that lives all the same is of no use any more
        reader.program.process.wait()
        if time.monotonic() - reader.started < _STEADY_SECONDS:
            time.sleep(_PAUSE_SECONDS)
        _log.warning("a reading program died; starting it again", status=reader.program.process.returncode)
        with self._lock:
            reader.connection.close()
            reader.program.reports.close()
            reader.program, reader.started, reader.waiting = self._start_program(), time.monotonic(), True
        self._give_job(reader)

    def _give_job(self, reader: _Reader) -> None:
        positions = reader.share.of_positions(self._positions)
        start = Start(positions, self._decisions.task, self._decisions.classes, self._identity)
        self._send(reader, replace(self._job, start=start, share=reader.share))
