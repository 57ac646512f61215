"""A process for each thing that is measured: its memory and its time are its own, and one that dies takes nobody along.

All of them are forked from one that has imported everything and done nothing, so none of them pays for importing
PyTorch, and none inherits threads or an accelerator that somebody used.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import TypeVar

from models.errors import ModelError
from service.errors import ServiceError

Order = TypeVar("Order")
Step = TypeVar("Step")
Outcome = TypeVar("Outcome")

Work = Callable[[Order, Callable[[Step], None]], Outcome]
"""What is done in a process: takes what is to be done, and what is called now and then; returns what came out."""

_PATIENCE = 5.0  # seconds for a process to end once it is told to


def threads() -> int:
    """Return how many threads a learner computes with: as many as in the service, which leaves some cores to others."""
    return max(1, (os.cpu_count() or 2) // 2)


@dataclass(frozen=True, slots=True)
class Failure:
    """That nothing came out.

    Attributes
    ----------
    error
        Why, in words.
    """

    error: str


@dataclass(frozen=True, slots=True)
class _Ended:
    """The last thing that a process tells."""

    outcome: object


class Processes:
    """Starts processes, one after another.

    Parameters
    ----------
    imported
        Names of the modules that all of them need.
    """

    def __init__(self, imported: Sequence[str]) -> None:
        self._imported = list(imported)
        self._context = multiprocessing.get_context("forkserver")

    def prepare(self) -> None:
        """Begin to import what is needed; returns at once."""
        self._context.set_forkserver_preload(self._imported)
        # What is ignored here is ignored there: Ctrl-C is for the command, not for what it imports.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)

    def wait(self) -> None:
        """Wait until all is imported: that is nobody's time."""
        process = self._context.Process(target=_ready, daemon=True)
        process.start()
        process.join()

    def work(self, work: Work[Order, Step, Outcome], order: Order, notice: Callable[[Step], None]) -> Outcome | Failure:
        """Do something in a process of its own and return what came out.

        Parameters
        ----------
        work
            What is done: a function of a module, so that another process finds it. What it raises of
            :class:`ModelError` and :class:`ServiceError` is the reason of a failure.
        order
            What it is given.
        notice
            What it may call meanwhile, here.
        """
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_do, args=(work, order, sending), daemon=True)
        process.start()
        sending.close()
        try:
            while True:
                told = receiving.recv()
                if isinstance(told, _Ended):
                    outcome: Outcome | Failure = told.outcome  # type: ignore[assignment]  # what `work` returned
                    return outcome
                notice(told)
        except EOFError:
            process.join(_PATIENCE)
            return Failure(_cause(process.exitcode))
        finally:
            receiving.close()
            # It has told all it knows, or nobody wants to hear it any more.
            process.kill()
            process.join(_PATIENCE)


def _ready() -> None:
    """Be a process that was started."""


def _do(work: Work[Order, Step, Outcome], order: Order, connection: Connection) -> None:
    """Be the process that does something."""
    # Whoever started this process gets Ctrl-C too, and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        try:
            outcome: Outcome | Failure = work(order, connection.send)
        except (ModelError, ServiceError) as error:
            outcome = Failure(str(error))
        connection.send(_Ended(outcome))


def _cause(status: int | None) -> str:
    """Return why a process has ended without a word."""
    if status is not None and status < 0:
        hint = ", probably for lack of memory" if -status == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-status).name}{hint}"
    return f"its process ended with status {status}; what it printed says why"
