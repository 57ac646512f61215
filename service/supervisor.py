"""``headrace up``: the trainers and the server as child processes, started again when they die.

On the path it stands outside: no event passes through it. It owns nothing durable, so it may be killed itself; its
children then end with it (Linux), and the next start goes on from the checkpoint and the journal.
"""

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import structlog

from service.config import Settings

_log = structlog.get_logger("headrace.supervisor")

_BACK_OFF_FIRST, _BACK_OFF_LAST = 0.1, 15.0
"""Seconds before a half that died is started again: doubled each time, up to a bound that an operator can wait for."""

_STEADY_AFTER = 30.0
"""Seconds that a half must live for its back-off to begin anew."""

_CANNOT_START = 2
"""Exit status of a half whose configuration is wrong: starting it again cannot help."""

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before it becomes its program, so that the kernel ends it when the supervisor dies."""
    if sys.platform != "linux":
        return None
    # Loaded before the fork: between fork and exec a child may not take the import lock.
    library = ctypes.CDLL(None, use_errno=True)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and None


class Half:
    """One supervised child process.

    Parameters
    ----------
    name
        For the operator.
    command
        What to run.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._back_off = _BACK_OFF_FIRST
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process."""
        # Its own session: a Ctrl-C at the terminal reaches the supervisor alone, which then ends the halves in order.
        self._process = subprocess.Popen(self._command, start_new_session=True, preexec_fn=end_with_parent())  # noqa: PLW1509, S603
        self._started = time.monotonic()
        _log.info("started", half=self.name, pid=self._process.pid)

    def watch(self) -> int | None:
        """Start the process again where it died and its back-off is over; return a status that is beyond help."""
        if self._process is None:
            if time.monotonic() >= self._not_before:
                self.start()
            return None
        status = self._process.poll()
        if status is None:
            if time.monotonic() - self._started > _STEADY_AFTER:
                self._back_off = _BACK_OFF_FIRST
            return None
        self._process = None
        if status == _CANNOT_START:
            _log.error("cannot start", half=self.name, status=status)
            return status
        # Spread, so that several halves that die of one cause do not come back in the same instant.
        delay = self._back_off * random.uniform(0.8, 1.2)  # noqa: S311
        self._back_off = min(self._back_off * 2, _BACK_OFF_LAST)
        self._not_before = time.monotonic() + delay
        _log.warning("died; starting again", half=self.name, status=status, delay_seconds=round(delay, 2))
        return None

    def end(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for the process to end, and kill it at `until` (monotonic seconds)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("did not end in time; killing it", half=self.name, pid=self._process.pid)
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Keeps halves running until it is told to stop.

    Parameters
    ----------
    halves
        What to run, in the order of starting; they are ended in the reverse order, so that the server stops taking
        events before the trainer takes its last checkpoint.
    shutdown_seconds
        Time that all of them have for ending.
    """

    def __init__(self, halves: Sequence[Half], shutdown_seconds: float) -> None:
        self.halves = list(halves)
        self._shutdown_seconds = shutdown_seconds
        self._stop = threading.Event()

    def stop(self, signal_number: int = 0, frame: FrameType | None = None) -> None:
        """Begin to end; fit to be a signal handler."""
        del signal_number, frame
        self._stop.set()

    def run(self) -> int:
        """Run until :meth:`stop`, or until a half cannot be started at all; return the exit status."""
        status = 0
        for half in self.halves:
            half.start()
        try:
            while not self._stop.wait(0.05):
                status = next((s for s in [half.watch() for half in self.halves] if s is not None), 0)
                if status:
                    break
        finally:
            self._end()
        return status

    def _end(self) -> None:
        until = time.monotonic() + self._shutdown_seconds
        for half in reversed(self.halves):
            half.end()
        for half in reversed(self.halves):
            half.wait(until)
        _log.info("stopped")


def halves_of(settings: Settings, config_path: Path | None) -> list[Half]:
    """Return the halves that `settings` asks for: a trainer for each model, and the server."""
    # -P: a folder `models` where somebody happens to stand is not ours (see guard.py).
    program = [sys.executable, "-P", "-m", "service.cli"]
    config = ["--config", str(config_path)] if config_path is not None else []
    trainers = [Half(f"train {model}", [*program, "train", "--model", model, *config]) for model in settings.models]
    return [*trainers, Half("serve", [*program, "serve", *config])]


def run_supervisor(settings: Settings, config_path: Path | None) -> int:
    """Run everything until SIGTERM or SIGINT; return the exit status."""
    supervisor = Supervisor(halves_of(settings, config_path), settings.shutdown_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    _log.info("up", pid=os.getpid(), address=settings.serve.address())
    return supervisor.run()
