"""A process for each learner: its memory and its time are its own, and one that dies takes nobody with it.

All of them are forked from one that has imported everything and done nothing, so none of them pays for importing
PyTorch, and none inherits threads or an accelerator that somebody used.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection

from service.comparing.outcome import Outcome, Step, Turn

_IMPORTED = ["service.comparing.turn", "models.torch_learner", "models.online_learner", "models.batch_learner"]

_PATIENCE = 5.0  # seconds for a process to end once it is told to


def threads() -> int:
    """Return how many threads a learner computes with: as many as in the service, which leaves some cores to others."""
    return max(1, (os.cpu_count() or 2) // 2)


class TurnProcesses:
    """Starts processes of turns, one after another."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")

    def prepare(self) -> None:
        """Begin to import what learners need; returns at once."""
        self._context.set_forkserver_preload(_IMPORTED)
        # What is ignored here is ignored there: Ctrl-C is for the command, not for what it imports.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)

    def wait(self) -> None:
        """Wait until all is imported: that is no learner's time."""
        process = self._context.Process(target=_ready, daemon=True)
        process.start()
        process.join()

    def run(self, turn: Turn, notice: Callable[[Step], None]) -> Outcome:
        """Test a learner in a process of its own and return how it did.

        Parameters
        ----------
        turn
            What it is tested on.
        notice
            Called a few times a second.
        """
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(turn, sending), daemon=True)
        process.start()
        sending.close()
        try:
            while True:
                told = receiving.recv()
                if isinstance(told, Outcome):
                    return told
                notice(told)
        except EOFError:
            process.join(_PATIENCE)
            return Outcome(error=_cause(process.exitcode))
        finally:
            receiving.close()
            # It has told all it knows, or nobody wants to hear it any more.
            process.kill()
            process.join(_PATIENCE)


def _ready() -> None:
    """Be a process that was started."""


def _run(turn: Turn, connection: Connection) -> None:
    """Be the process of a turn."""
    from service.comparing.turn import run_turn  # noqa: PLC0415  # the command itself needs no learner

    run_turn(turn, connection)


def _cause(status: int | None) -> str:
    """Return why a process has ended without a word."""
    if status is not None and status < 0:
        hint = ", probably for lack of memory" if -status == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-status).name}{hint}"
    return f"its process ended with status {status}; what it printed says why"
