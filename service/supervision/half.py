"""One supervised child process: started, started again when it dies, and ended in order. See ``supervisor.py``.

What dies over and over is not to be felt by the others: it loses its right to the spare, waits longer each time, and
goes behind the others from its start on.
"""

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from service.exit_statuses import DEVICE_LOST, USAGE

_log = structlog.get_logger("headrace.supervisor")

_BACK_OFF_FIRST, _BACK_OFF_LAST = 0.1, 15.0
"""Seconds before a half that died is started again: doubled each time, up to a bound that an operator can wait for."""

_STEADY_AFTER = 30.0
"""Seconds that a half must live for its back-off to begin anew."""

_WORKED_AFTER = 1.0
"""Seconds after which a half that dies has been at work, so that there is no harm in starting it again at once."""

_HASTY_MOST = 5
"""Deaths in a row, none of them after :data:`_STEADY_AFTER`, from which on a half is not started again at once."""

_FIRST_TO_GO = "500"
"""Added to how much Linux would like to end a process for its memory: as if it had half of all there is besides."""

_PR_SET_PDEATHSIG = 1

TakeSpare = Callable[[], "subprocess.Popen[bytes] | None"]


def end_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before it becomes its program, so that the kernel ends it when the supervisor dies."""
    if sys.platform != "linux":
        return None
    # Loaded before the fork: between fork and exec a child may not take the import lock.
    library = ctypes.CDLL(None, use_errno=True)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and None


def start_child(command: Sequence[str], stdin: int | None = None) -> "subprocess.Popen[bytes]":
    """Start a process of the supervisor's."""
    # Its own session: a Ctrl-C at the terminal reaches the supervisor alone, which then ends the halves in order.
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=stdin,
        start_new_session=True,
        preexec_fn=end_with_parent(),  # noqa: PLW1509 - one system call, and no thread holds a lock that it needs
    )


class Half:
    """One supervised child process.

    Parameters
    ----------
    name
        For the operator.
    command
        What to run.
    spare
        Gives a process that has imported everything and is this half from now on; None where there is none now.
    essential
        Whether nothing goes on where it cannot be started because of wrong settings.
    niceness
        How far it goes behind others while it dies over and over; see ``train.niceness``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        spare: TakeSpare = lambda: None,
        *,
        essential: bool = True,
        niceness: int = 0,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._spare = spare
        self._essential = essential
        self._expendable = not essential
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._back_off = _BACK_OFF_FIRST
        self._deaths = 0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process, or have a spare one take its place."""
        self._run(None if self._dies_over_and_over else self._spare())

    @property
    def _dies_over_and_over(self) -> bool:
        return self._deaths >= _HASTY_MOST

    def _run(self, spare: "subprocess.Popen[bytes] | None") -> None:
        self._process = spare or start_child(self._command)
        self._started = time.monotonic()
        if self._expendable:
            # Where memory runs out, the kernel is to end what asked for it, and not the server or another model.
            with contextlib.suppress(OSError):
                Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
        if self._dies_over_and_over:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, self._niceness)
        _log.info("started", half=self.name, pid=self._process.pid, spare=spare is not None)

    def watch(self) -> int | None:
        """Start the process again where it died and its back-off is over; return a status that is beyond help."""
        if self._process is None:
            if time.monotonic() >= self._not_before:
                self.start()
            return None
        status = self._process.poll()
        if status is None:
            if time.monotonic() - self._started > _STEADY_AFTER:
                # What has worked once was configured right: from now on it may fail without ending the others.
                self._back_off, self._deaths, self._essential = _BACK_OFF_FIRST, 0, False
            return None
        self._process = None
        if status == USAGE and self._essential:
            _log.error("cannot start", half=self.name, status=status)
            return status
        self._deaths += 1
        self._start_again(status)
        return None

    def gone(self) -> bool:
        """Whether the process has ended, or was never started."""
        return self._process is None or self._process.poll() is not None

    def end(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for the process to end, and kill it at `until` (monotonic seconds)."""
        if self._process is not None:
            wait_or_kill(self.name, self._process, until)

    def _start_again(self, status: int) -> None:
        """Start what died: at once where a spare one is there or it asks for that, else when its time comes."""
        if time.monotonic() - self._started >= _WORKED_AFTER and not self._dies_over_and_over:
            spare = self._spare()
            if spare is not None or status == DEVICE_LOST:
                _log.warning("died; starting again at once", half=self.name, status=status)
                self._run(spare)
                return
        # Spread, so that several halves that die of one cause do not come back in the same instant.
        delay = self._back_off * random.uniform(0.8, 1.2)  # noqa: S311
        self._back_off = min(self._back_off * 2, _BACK_OFF_LAST)
        self._not_before = time.monotonic() + delay
        _log.warning("died; starting again", half=self.name, status=status, delay_seconds=round(delay, 2))


def wait_or_kill(name: str, process: "subprocess.Popen[bytes]", until: float) -> None:
    """Wait for a process to end, and kill it at `until` (monotonic seconds)."""
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        _log.error("did not end in time; killing it", half=name, pid=process.pid)
        process.kill()
        process.wait()
