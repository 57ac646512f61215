"""A spare trainer: a process that has imported everything and waits for the name of the model whose trainer has died.

Importing is most of the time that a start takes, so a spare one makes the difference between a second and many. Only
``headrace up`` keeps one, for all its models together; beside ``headrace train`` a standby does the same.
"""

import subprocess
import time
from collections.abc import Sequence

import structlog

from service.supervision.half import start_child, wait_or_kill

_log = structlog.get_logger("headrace.supervisor")

_FIRST_AFTER = 10.0
"""Seconds after the start: then trainers and server have imported what they need, and the processor is free."""

_NEXT_AFTER = 3.0
"""Seconds after a spare was handed over: by then the trainer that it became has recovered."""

_DIED_AFTER = 30.0
"""Seconds before another one is tried where a spare died by itself."""


class Spares:
    """Keeps one spare trainer. Owned by the supervisor's thread.

    Parameters
    ----------
    command
        What a spare trainer runs.
    first_after, next_after
        Seconds until one is started: at first, and after one was handed over.
    """

    def __init__(
        self, command: Sequence[str], *, first_after: float = _FIRST_AFTER, next_after: float = _NEXT_AFTER
    ) -> None:
        self._command = list(command)
        self._next_after = next_after
        self._not_before = time.monotonic() + first_after
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the spare that waits."""
        return self._process.pid if self._process is not None else None

    def take(self, model: str) -> "subprocess.Popen[bytes] | None":
        """Have the spare train `model` from now on; None where there is none.

        It need not have imported everything yet: it reads the name when it has.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        self._not_before = time.monotonic() + self._next_after
        assert process.stdin is not None  # noqa: S101 -- started with a pipe
        try:
            with process.stdin as pipe:
                pipe.write(f"{model}\n".encode())
        except OSError:
            process.wait()
            return None
        return process

    def watch(self) -> None:
        """Start a spare where none is and its time has come."""
        if self._process is None:
            if time.monotonic() >= self._not_before:
                self._process = start_child(self._command, stdin=subprocess.PIPE)
            return
        status = self._process.poll()
        if status is not None:
            _log.warning("the spare trainer died; another one will be started", status=status)
            self._let_go(self._process)
            self._process, self._not_before = None, time.monotonic() + _DIED_AFTER

    def end(self) -> None:
        """Have the spare end: without a name to come, there is nothing that it waits for."""
        if self._process is not None:
            self._let_go(self._process)
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for its end, and kill it at `until` (monotonic seconds)."""
        if self._process is not None:
            wait_or_kill("spare", self._process, until)

    @staticmethod
    def _let_go(process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None  # noqa: S101 -- started with a pipe
        process.stdin.close()
