"""Starts the peers, each in its own environment, waits until they answer, and ends them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking import ask, request
from benchmarks.measured import MeasurementFailed
from benchmarks.peers.table import ROOT
from benchmarks.processes import last_words
from tests.support.processes import free_port

STARTING = 90.0
"""Seconds that a server may take until it answers."""


@dataclass(frozen=True, slots=True)
class Server:
    """A way of serving.

    Attributes
    ----------
    title
        What it is called in tables.
    command
        After the interpreter; ``PORT`` stands for the port.
    path, path_of_many
        Where one row is asked for, and several.
    environment
        Folder of the virtual environment, relative to the repository; empty for the one that this runs in.
    """

    title: str
    command: tuple[str, ...]
    path: str = "/predict"
    path_of_many: str = "/predict"
    environment: str = ""

    @property
    def python(self) -> Path:
        """The interpreter; it is absent where the environment could not be made."""
        return ROOT / self.environment / "bin" / "python" if self.environment else Path(sys.executable)


_UVICORN = ("-m", "uvicorn", "--port", "PORT", "--no-access-log", "--no-server-header", "--log-level", "warning")
_OWN = ".venv-serving"

SERVERS: Mapping[str, Server] = {
    "fastapi": Server(
        "FastAPI with pydantic",
        (*_UVICORN, "benchmarks.serving_peers.plain_fastapi:app"),
        path_of_many="/predict_many",
    ),
    "mosec": Server(
        "mosec",
        ("-m", "benchmarks.serving_peers.mosec_service", "--port", "PORT", "--address", "127.0.0.1"),
        "/inference",
        "/inference",
        _OWN,
    ),
    "litserve": Server("LitServe", ("-m", "benchmarks.serving_peers.litserve_service", "PORT"), environment=_OWN),
}


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: its port and the process that was started."""

    server: Server
    port: int
    pid: int


@contextlib.contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """Start a server and yield it once it answers; it is ended afterwards.

    Raises
    ------
    MeasurementFailed
        It is not installed, died, or does not answer in time.
    """
    if not server.python.exists():
        raise MeasurementFailed(f"not installed: {server.environment} could not be made")
    port = free_port()
    command = [str(server.python), *(str(port) if part == "PORT" else part for part in server.command)]
    output = folder / f"{server.title}.log"
    with output.open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
    try:
        _wait(process, server, port, output)
        yield Running(server, port, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", server: Server, port: int, output: Path) -> None:
    until = time.monotonic() + STARTING
    while True:
        if process.poll() is not None:
            raise MeasurementFailed(f"{server.title} died: {last_words(output.read_text(errors='replace'))}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            if not ask(port, 1, 0.1, request(port, path=server.path))["failed"]:
                return
        if time.monotonic() > until:
            raise MeasurementFailed(f"{server.title} did not answer within {STARTING:.0f} s")
        time.sleep(0.2)
