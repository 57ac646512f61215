"""Headrace as its users run it: real processes on a configuration file, asked over HTTP."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

START_SECONDS = 90.0
"""Importing torch takes a while on a busy machine."""

ENVIRONMENT: dict[str, str] = {}
"""What else is in the environment of what is started here; tests put in what must not be as it is by default."""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """One configuration, and the processes that run on it.

    Parameters
    ----------
    folder
        Where everything goes: configuration, data, publications, outputs.
    model
        Settings of the model `default`.
    others
        Further sections of the configuration.
    """

    def __init__(self, folder: Path, model: dict[str, Any] | None = None, **others: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self.data_dir = folder / "data"
        self.config = folder / "headrace.yaml"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        settings = {
            "data_dir": str(self.data_dir),
            "publish_dir": str(folder / "publish"),
            "models": {"default": model or {}},
            "serve": {"port": self.port},
        } | others
        self.config.write_text(yaml.safe_dump(settings))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def start(self, *command: str, name: str | None = None) -> subprocess.Popen[bytes]:
        """Start ``headrace COMMAND`` in the background; its output goes to ``NAME.log``."""
        name = name or command[0]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *command, "--config", str(self.config)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment | ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())},
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def pid(self, name: str) -> int:
        """Return the process id of what was started under `name`."""
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """Return what a process has printed so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """Return ``GET /v1/models/default``; empty while it does not answer."""
        try:
            answer = self.http.get("/v1/models/default")
        except httpx.TransportError:
            return {}
        return dict(answer.json()) if answer.status_code == httpx.codes.OK else {}

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], seconds: float = START_SECONDS) -> dict[str, Any]:
        """Return the first state that fulfils `condition`."""
        until = time.monotonic() + seconds
        while True:
            state = self.state()
            if state and condition(state):
                return state
            assert time.monotonic() < until, f"it did not happen in time; the state was {state}\n{self._tails()}"
            time.sleep(0.05)

    def wait_until_learned(self, events: int, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Return the first state in which at least `events` events are learned."""
        return self.wait_for(lambda state: total_learned(state) >= events, seconds)

    def wait_until_ready(self) -> None:
        """Wait for the server to answer predictions."""
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/health/ready").status_code == httpx.codes.OK:
                    return
            assert time.monotonic() < until, f"it was not ready in time\n{self._tails()}"
            time.sleep(0.1)

    def metric(self, line: str) -> float:
        """Return the value of one line of ``/metrics``, such as ``headrace_updates_total{model="default"}``."""
        for found in self.http.get("/metrics").text.splitlines():
            if found.startswith(line + " "):
                return float(found.rpartition(" ")[2])
        raise AssertionError(f"{line} is not among the metrics")

    def close(self) -> None:
        """End everything that was started here."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.http.close()

    def _tails(self) -> str:
        return "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self._processes)


def total_learned(state: dict[str, Any]) -> int:
    """Return the events that all learners have learned, each counted once."""
    return int(state.get("events_learned", 0))


@contextlib.contextmanager
def installation(folder: Path, model: dict[str, Any] | None = None, **others: Any) -> Iterator[Installation]:
    """Yield an installation and end its processes afterwards."""
    made = Installation(folder, model, **others)
    try:
        yield made
    finally:
        made.close()
