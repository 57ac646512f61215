"""The other side of commands: writes one into the table and waits, within bounds, for what comes of it.

Used by the API (``rest/routes_commands.py``) and by the command line (``commands/operating.py``).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from models.learner import Json
from service.checkpoints import CheckpointInfo
from service.durability.pins import NAME, NAME_RULE
from service.errors import RequestInvalid
from service.operating.command_table import Command, CommandTable
from service.restart.rollback import not_kept

_DIGITS = 18
"""Of a version, at most: what has more is none."""

_ASK_EVERY = 0.02
"""Seconds between two looks for an outcome."""


def wait_for(table: CommandTable, model: str, number: int, going_on: Callable[[], bool], seconds: float) -> Command:
    """Return a command once it is finished, or as it is after so many seconds, or when `going_on` says no.

    Raises
    ------
    StorageFailed
        The table cannot be read.
    """
    until = time.monotonic() + seconds
    while True:
        # In this order: what was finished just before a trainer ended is seen.
        last = time.monotonic() >= until or not going_on()
        command = table.find(model, number)
        assert command is not None, "commands stay for a month"  # noqa: S101
        if last or command.outcome is not None:
            return command
        time.sleep(_ASK_EVERY)


def result_of(command: Command) -> dict[str, Any]:
    """Return what is answered to a command: what was done, or that it waits.

    Raises
    ------
    RequestInvalid
        It was refused, and nothing has changed.
    """
    about = {"model": command.model, "command": command.number}
    outcome = command.outcome
    if outcome is None:
        detail = "the trainer is down, or has not come to it yet: it will obey when it can; ask for the command"
        return {**about, "state": "waiting", "detail": detail}
    check_done(outcome)
    return {**about, "state": "done", **{key: value for key, value in outcome.items() if key != "status"}}


def check_done(outcome: Json) -> None:
    """Raise :class:`RequestInvalid` where a command was refused."""
    status = outcome["status"]
    if status != 200:
        retry_after = 2.0 if status == 503 else None
        raise RequestInvalid(outcome["detail"], status, outcome.get("field", ""), retry_after)


def check_kept(kept: Sequence[CheckpointInfo], which: int | str, field: str) -> None:
    """Refuse early what the trainer would refuse: a checkpoint that is not kept.

    Raises
    ------
    RequestInvalid
        404; it names those that are kept.
    """
    if not any(info.version == which or which in info.names for info in kept):
        raise RequestInvalid(not_kept(kept, which), 404, field)


def checkpoint_of(which: str) -> int | str:
    """Return what was written for a checkpoint: a version where it is a number, else a name."""
    return int(which) if which.isascii() and which.isdecimal() and len(which) <= _DIGITS else which


def check_name(name: str) -> str:
    """Return `name`; refuse one that no checkpoint can have.

    Raises
    ------
    RequestInvalid
        422.
    """
    if not NAME.fullmatch(name):
        raise RequestInvalid(f"a checkpoint's name has {NAME_RULE}", 422, "name")
    return name
