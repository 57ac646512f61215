"""The trainer's side of commands: between two microbatches it looks at the table, and obeys what waits there.

Each kind of command has a handler in :data:`HANDLERS`. It decides, has the decision journaled with the command's number
(``operated.py``) and only then published, and returns what is answered. So a command is done once, wherever the trainer
is killed: before the journal has it, its successor does it; after that, its successor only answers. A trainer that was
taken over from finds that out when it journals, and neither publishes nor answers.
"""

import time
from collections.abc import Callable, Mapping

import structlog

from models.learner import Json
from service.errors import DurabilityLost, OwnershipLost, RequestInvalid, StorageFailed
from service.operating.command_table import Command, CommandTable
from service.operating.desk import Desk
from service.operating.operated import PAUSE, RESUME, paused_by
from service.operating.pinning import PIN, UNPIN, obey_pin, obey_unpin
from service.operating.promoting import obey_promotion
from service.operating.rolling_back import obey_rollback
from service.restart.contest_steps import PROMOTE
from service.restart.rollback import DECISION as ROLLBACK
from service.wiring import commands_path

_log = structlog.get_logger("headrace.operating")

_LOOK_EVERY = 0.05
"""Seconds between two looks: within them a command is met, and a look takes some 30 µs."""

_PATIENCE = 0.5
"""Seconds that learning waits for somebody who is writing into the table; then it tries again at the next look."""

Handler = Callable[[Desk, Command], Json]
"""Obeys a command and returns its outcome; raises :class:`service.errors.RequestInvalid` where it changes nothing."""


class Operator:
    """Obeys commands. Owned by the learning thread.

    Parameters
    ----------
    desk
        What they act upon.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._table = CommandTable(commands_path(desk.model.service), patience=_PATIENCE)
        self._due = 0.0
        self._told = False

    def look(self) -> None:
        """Obey what waits, if it is time to look.

        Raises
        ------
        OwnershipLost, DurabilityLost
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _LOOK_EVERY
        try:
            for command in self._table.pending(self._desk.model.name):
                self._obey(command)
            self._told = False
        except StorageFailed as error:
            if not self._told:
                _log.error("the commands cannot be read, or their outcomes not be written", error=str(error))
                self._desk.model.notice(f"commands wait: {error}")
            self._told = True

    def close(self) -> None:
        """Let the table go."""
        self._table.close()

    def _obey(self, command: Command) -> None:
        desk, operated = self._desk, self._desk.training.operated
        if operated.has_done(command):
            outcome = operated.answer(command)
        else:
            outcome = _outcome_of(desk, command)
            _log.info("a command", kind=command.kind, number=command.number, caller=command.caller, outcome=outcome)
        if desk.training.operated.number == command.number:
            # What is answered outlives the machine, so what is answered for must.
            desk.training.journal.sync()
        desk.model.lease.check()
        self._table.finish(command.number, outcome, epoch=desk.model.lease.epoch)


def _outcome_of(desk: Desk, command: Command) -> Json:
    """Do what a command says, or say why not."""
    handler = HANDLERS.get(command.kind)
    if handler is None:
        return _refusal(RequestInvalid(f"this trainer knows no command {command.kind!r}: is it an older version?", 422))
    try:
        return handler(desk, command)
    except RequestInvalid as error:
        return _refusal(error)
    except (OwnershipLost, DurabilityLost, StorageFailed):
        raise
    # A command that fails in a way nobody thought of must not end every trainer that meets it.
    except Exception as error:  # noqa: BLE001 -- see above
        _log.exception("a command failed in a way that it must not", kind=command.kind, number=command.number)
        return _refusal(
            RequestInvalid(f"it failed in a way that it must not ({error}); the trainer's log says more", 503)
        )


def _refusal(error: RequestInvalid) -> Json:
    return {"status": error.status, "detail": str(error), "field": error.field}


def _pause(desk: Desk, command: Command) -> Json:
    """Stop learning at the end of the microbatch before; what is read by then waits, and no more is read."""
    if desk.training.operated.paused is not None:
        return _unchanged(desk, paused=True)
    return desk.note(command, {"paused": paused_by(command)}, {"paused": True, "changed": True})


def _resume(desk: Desk, command: Command) -> Json:
    """Go on learning where it stopped."""
    if desk.training.operated.paused is None:
        return _unchanged(desk, paused=False)
    return desk.note(command, {"paused": None}, {"paused": False, "changed": True})


def _unchanged(desk: Desk, *, paused: bool) -> Json:
    return {"status": 200, "model_version": desk.training.versions.current, "paused": paused, "changed": False}


HANDLERS: Mapping[str, Handler] = {
    PAUSE: _pause,
    RESUME: _resume,
    ROLLBACK: obey_rollback,
    PIN: obey_pin,
    UNPIN: obey_unpin,
    PROMOTE: obey_promotion,
}
"""Kind of a command → who obeys it."""
