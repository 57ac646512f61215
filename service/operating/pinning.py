"""Giving a checkpoint a name, under which it stays and can be gone back to, and taking the name away.

A name is no parameter, so the journal knows nothing of it: its file is the one thing that changes, in one step, and
says which command wrote it.
"""

from collections.abc import Sequence

from models.learner import Json
from service.checkpoints import CheckpointInfo
from service.durability.pins import Pin
from service.errors import CheckpointInvalid, RequestInvalid
from service.operating.command_table import Command
from service.operating.desk import Desk
from service.restart.rollback import not_kept

PIN, UNPIN = "pin", "unpin"
"""Kinds of commands."""


def obey_pin(desk: Desk, command: Command) -> Json:
    """Give the checkpoint that a command names, or one that is taken now, a name.

    Raises
    ------
    RequestInvalid
        There is no such checkpoint, or none can be taken.
    """
    name, wanted = command.data["name"], command.data.get("version")
    store = desk.model.store
    known = _known(desk, name)
    if known is not None and (known.number, known.table) == (command.number, command.table):
        return _outcome(known)  # a trainer died between that and saying so
    # What is being written now might make room by removing the very checkpoint that is meant.
    desk.housekeeping.settle()
    if wanted is None:
        wanted = _taken_now(desk)
    elif not _is_kept(store.list(), wanted):
        raise RequestInvalid(not_kept(store.list(), wanted), 404, "version")
    desk.model.lease.check()
    pin = Pin(name, wanted, command.ordered_at, command.caller, command.number, command.table)
    store.pins.put(pin)
    return _outcome(pin)


def obey_unpin(desk: Desk, command: Command) -> Json:
    """Take a name away; the checkpoint then goes when it is none of the newest few."""
    desk.model.lease.check()
    desk.model.store.pins.remove(command.data["name"])
    return {"status": 200, "name": command.data["name"]}


def _known(desk: Desk, name: str) -> Pin | None:
    try:
        return desk.model.store.pins.find(name)
    except CheckpointInvalid:
        return None  # what cannot be read is written anew


def _outcome(pin: Pin) -> Json:
    return {"status": 200, "name": pin.name, "version": pin.version}


def _is_kept(kept: Sequence[CheckpointInfo], version: int) -> bool:
    return any(info.version == version for info in kept)


def _taken_now(desk: Desk) -> int:
    """Return the version that there is, of which there is a checkpoint now."""
    training, store = desk.training, desk.model.store
    if training.lane.learner is None or training.standing_in:
        raise RequestInvalid("there is nothing to keep: no label was learned yet, or the online learner stands in", 409)
    if not _is_kept(store.list(), training.versions.current):
        desk.housekeeping.checkpoint_now()
        desk.housekeeping.settle()
    if not _is_kept(store.list(), training.versions.current):
        raise RequestInvalid("no checkpoint could be written now; the state says why, under `errors`", 503)
    return training.versions.current
