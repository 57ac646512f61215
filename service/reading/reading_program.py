"""The program that reads for a trainer, as the trainer holds it: a child process at the other end of a socket.

Such a program takes a while to import what it needs, so one is started before it is wanted: it waits for its job at the
socket (:mod:`service.reading.ingest_process` has what it does then). It ends when the trainer does, however that ends,
because its socket does.
"""

import socket
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

_SOCKET_BYTES = 4 * 1024 * 1024
"""What the socket may hold, where the system allows it: a few chunks, enough to smooth a slow step of the learner."""

_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv.pop())
from service.reading.ingest_process import main
main(sys.argv[1:])
"""
"""Its last argument is the folder of the packages: they must be the trainer's, wherever somebody happens to stand."""

_END_SECONDS = 5.0
"""How long the program may take to end when it is told to."""


@dataclass(frozen=True, slots=True)
class ReadingProgram:
    """One program.

    Attributes
    ----------
    process
        The child.
    connection
        Our end of the socket. The first thing sent is the job.
    reports
        Our end of another one, over which nothing comes but how the log is doing: behind the chunks that wait in the
        first one, it would be heard only when they are taken, and nobody would know how much waits.
    """

    process: "subprocess.Popen[bytes]"
    connection: Connection
    reports: Connection

    def close(self) -> None:
        """Have it end, and wait until it has."""
        self.connection.close()
        self.reports.close()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


Ends = tuple[socket.socket, socket.socket]
"""Ends of the socket whose buffer is the bound on what waits, and of that for reports, on one side."""


def socket_pairs() -> tuple[Ends, Ends]:
    """Return our ends and theirs."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    hearing, reporting = socket.socketpair()
    return (ours, hearing), (theirs, reporting)


def start_program() -> ReadingProgram:
    """Start a program, which waits for its job."""
    ours, theirs = socket_pairs()
    root = str(Path(__file__).parents[2])
    files = [end.fileno() for end in theirs]
    process = subprocess.Popen(  # noqa: S603 -- our own interpreter
        # Not as ``-m``: what it sends must be of classes that the trainer finds under the same names.
        [sys.executable, "-P", "-c", _PROGRAM, *map(str, files), root],
        pass_fds=files,
    )
    for end in theirs:
        end.close()
    return ReadingProgram(process, *(Connection(end.detach()) for end in ours))


class ReadingPrograms:
    """Starts programs, one of them in advance. Owned by one thread."""

    def __init__(self) -> None:
        self._waiting: ReadingProgram | None = None

    def prepare(self) -> None:
        """Have a program import everything before it is wanted, unless one has."""
        if self._waiting is None:
            self._waiting = start_program()

    def take(self) -> ReadingProgram:
        """Return the one that waits, or a new one."""
        program, self._waiting = self._waiting, None
        if program is not None and program.process.poll() is None:
            return program
        if program is not None:
            program.close()
        return start_program()

    def close(self) -> None:
        """End the one that waits."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
