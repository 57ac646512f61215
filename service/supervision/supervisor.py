"""``headrace up``: the trainers and the server as child processes, started again when they die.

``headrace train`` without ``--model`` runs trainers the same way where there are several (``companion.py``).

On the path it stands outside: no event passes through it. It owns nothing durable, so it may be killed itself; its
children then end with it (Linux), and the next start goes on from the checkpoint and the journal.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import structlog

from service.config import Settings
from service.roster.roster import Roster
from service.supervision.added_trainers import AddedTrainers
from service.supervision.half import Half
from service.supervision.spares import Spares

_log = structlog.get_logger("headrace.supervisor")


class Supervisor:
    """Keeps halves running until it is told to stop.

    Parameters
    ----------
    halves
        What to run, in the order of starting; they are ended in the reverse order, so that the server stops taking
        events before the trainer takes its last checkpoint.
    shutdown_seconds
        Time that all of them have for ending.
    spares
        Keeps a trainer in reserve; None for none.
    added
        Runs trainers of models that are added meanwhile; None for none.
    """

    def __init__(
        self,
        halves: Sequence[Half],
        shutdown_seconds: float,
        spares: Spares | None = None,
        added: AddedTrainers | None = None,
    ) -> None:
        self.halves = list(halves)
        self._spares = spares
        self._added = added
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
                if self._added is not None:
                    self._added.watch()
                if self._spares is not None:
                    self._spares.watch()
        finally:
            self._end()
        return status

    def _end(self) -> None:
        until = time.monotonic() + self._shutdown_seconds
        ending: list[Spares | Half] = [*([self._spares] if self._spares is not None else []), *reversed(self.halves)]
        if self._added is not None:
            ending += self._added.halves
        for each in ending:
            each.end()
        for each in ending:
            each.wait(until)
        _log.info("stopped")


def make_supervisor(
    settings: Settings,
    config_path: Path | None,
    *,
    declared: bool = True,
    serve: bool = True,
) -> Supervisor:
    """Return what runs the service, or some of it: a trainer for each model, the server, and a spare trainer.

    Parameters
    ----------
    settings, config_path
        The configuration, and its file.
    declared
        Whether to run trainers of the models that the configuration declares; those of added ones run in any case.
    serve
        Whether to run the server.
    """
    # -P: a folder `models` where somebody happens to stand is not ours (see guard.py).
    program = [sys.executable, "-P", "-m", "service.cli"]
    config = ["--config", str(config_path)] if config_path is not None else []
    # Beside trainers alone a standby does what a spare does, and more.
    spares = Spares([*program, "spare", *config]) if serve and settings.train.spare else None

    def trainer(model: str, *, essential: bool = True) -> Half:
        command = [*program, "train", "--model", model, *config]
        return Half(
            f"train {model}",
            command,
            lambda: spares.take(model) if spares is not None else None,
            essential=essential,
            niceness=settings.train.niceness,
        )

    halves = [trainer(model) for model in settings.declared().models] if declared else []
    if serve:
        halves.append(Half("serve", [*program, "serve", *config]))
    added = AddedTrainers(Roster(settings), lambda model: trainer(model, essential=False), settings.shutdown_seconds)
    return Supervisor(halves, settings.shutdown_seconds, spares, added)


def run_supervisor(supervisor: Supervisor, **said: object) -> int:
    """Run until SIGTERM or SIGINT; return the exit status. What is `said` stands in the log's first line."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    _log.info("up", pid=os.getpid(), **said)
    return supervisor.run()
