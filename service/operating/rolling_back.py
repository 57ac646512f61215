"""Going back to a checkpoint because somebody says so: by a command to a trainer that learns, or beside it, offline.

Both do what the canary does by itself (``repair/self_repair.py``), by the same function (``restart/rollback.py``).
Other than after a canary's rollback, the versions that were gone back from are not returned to by themselves, and what
the canary compares with from now on is the version that was chosen.
"""

import structlog

from models.errors import DeviceFailed, StateMismatch
from models.learner import Json
from service.checkpoints import Checkpoint
from service.durability.journal_format import Decision
from service.errors import CheckpointInvalid, RequestInvalid
from service.operating.command_table import Command
from service.operating.desk import Desk
from service.operating.operated import obeying, paused_by
from service.restart.rollback import find_checkpoint, roll_back

_log = structlog.get_logger("headrace.operating")

LEARN, PAUSED = "learn", "pause"
"""What becomes of learning after a rollback; without either it goes on, or stays paused, as it was."""


def go_back(desk: Desk, checkpoint: Checkpoint, data: Json | None = None) -> Decision:
    """Bring the learner of `checkpoint` back and publish it under a new version; positions and counts stay.

    Parameters
    ----------
    desk
        Of the model's trainer.
    checkpoint
        Of this model.
    data
        What the journal's decision says besides.

    Raises
    ------
    StateMismatch, DeviceFailed, OwnershipLost, StorageFailed
        Nothing has changed.
    """
    training = desk.training
    before = training.lane.learner
    try:
        roll_back(training.lane, checkpoint.learner, desk.model.build_learner)
        decision = training.versions.rolled_back(training.learner, checkpoint.version, data=data)
    except BaseException:
        training.lane.learner = before
        raise
    training.totals.rollbacks += 1
    desk.repair.trust_current()
    _log.warning("went back to an earlier version", to=checkpoint.version, version=decision.version)
    return decision


def obey_rollback(desk: Desk, command: Command) -> Json:
    """Go back to the checkpoint that a command names, by its version or by a name that was given to it.

    Raises
    ------
    RequestInvalid
        It is not kept, or cannot be gone back to now.
    """
    training = desk.training
    if training.standing_in:
        raise RequestInvalid(
            "the device is out of order and the online learner stands in: there is no learner to bring back until the "
            "device is",
            409,
        )
    # What is being written now might make room by removing the very checkpoint that is meant.
    desk.housekeeping.settle()
    checkpoint = _checkpoint(desk, command)
    data: dict[str, object] = {}
    then = command.data.get("then")
    if then is not None:
        data["paused"] = paused_by(command) if then == PAUSED else None
    paused = data.get("paused", training.operated.paused) is not None
    outcome = {"restored_from": checkpoint.version, "paused": paused}
    try:
        decision = go_back(desk, checkpoint, obeying(command, data, outcome))
    except StateMismatch as error:
        raise RequestInvalid(f"version {checkpoint.version} cannot be gone back to: {error}", 409, "version") from error
    except DeviceFailed as error:
        raise RequestInvalid(f"the learner cannot be built on its device: {error}", 503) from error
    desk.model.notice(f"{command.caller} went back to version {checkpoint.version}, as version {decision.version}")
    return desk.done(decision)


def _checkpoint(desk: Desk, command: Command) -> Checkpoint:
    try:
        return find_checkpoint(desk.model.store, command.data["checkpoint"])
    except CheckpointInvalid as error:
        raise RequestInvalid(str(error), 404, "version") from error
