"""What ``headrace checkpoints restore`` does: an earlier checkpoint's learner again, with or without its positions."""

import time
from dataclasses import replace

import structlog

from service.checkpoints import Checkpoint
from service.config import Settings
from service.durability.claiming import claimed
from service.durability.journal_reading import read_journal
from service.durability.lease import Lease
from service.errors import CheckpointInvalid, StorageFailed
from service.journal import Decision, Journal
from service.learning.model import Model
from service.learning.trainer_process import open_model, prepare_learning, start_trainer
from service.operating.command_table import CommandTable
from service.restart.history import WENT_BACK
from service.restart.rollback import DECISION as ROLLBACK
from service.restart.rollback import find_checkpoint
from service.trainer import Trainer
from service.wiring import commands_path

_log = structlog.get_logger("headrace.restoring")


def restore(settings: Settings, name: str, which: int | str, *, with_positions: bool) -> tuple[int, int]:
    """Make the learner of a checkpoint the newest one, published at once; return its new version, and the old one.

    Parameters
    ----------
    settings, name
        Which model.
    which
        Version or name of a kept checkpoint.
    with_positions
        Whether to go back in the log too, and so to learn again what came after; else nothing is learned again.

    Raises
    ------
    ModelOwned
        A trainer owns it.
    CheckpointInvalid
        There is no such checkpoint, or it is damaged. Nothing has changed.
    ServiceError, ConsumerError, ModelError
        Nothing has changed.
    """
    prepare_learning()
    with claimed(settings, name) as lease:
        model = open_model(settings, name, lease)
        try:
            checkpoint = find_checkpoint(model.store, which)
            if with_positions:
                _go_back(model, lease, checkpoint)
                trainer = start_trainer(model)
                trainer.publish()
            else:
                trainer = _roll_back(settings, model, checkpoint)
            return trainer.training.versions.current, checkpoint.version
        finally:
            model.close()


def _roll_back(settings: Settings, model: Model, checkpoint: Checkpoint) -> Trainer:
    """Have a trainer of our own obey the command that a running one would be given, and any that waits before it."""
    table = CommandTable(commands_path(settings))
    try:
        number = table.order(model.name, ROLLBACK, {"checkpoint": checkpoint.version}, "headrace checkpoints restore")
        trainer = start_trainer(model)
        trainer.obey()
        outcome = table.outcome(number)
    finally:
        table.close()
    if outcome is None:
        raise StorageFailed(f"{commands_path(settings)} cannot be written now; check free space and permissions")
    if outcome["status"] != 200:
        raise CheckpointInvalid(outcome["detail"])
    return trainer


def _go_back(model: Model, lease: Lease, checkpoint: Checkpoint) -> None:
    """Make `checkpoint`, positions and all, the newest one, under a number that was never given."""
    tail = read_journal(model.paths.journal, max(info.version for info in model.store.list()))
    version = tail.resume_version + 1
    # Should this checkpoint ever be lost, the journal must not be taken to lead over it.
    journal = Journal(model.paths.journal, lease.epoch, tail.resume_version, tail)
    journal.append(Decision(WENT_BACK, version, {"restored_from": checkpoint.version}))
    journal.close()
    service = {**checkpoint.service, "restored_from": checkpoint.version, WENT_BACK: True}
    again = replace(checkpoint, version=version, epoch=lease.epoch, created=time.time(), service=service)
    lease.check()
    model.store.save(again)
    _log.info("went back", to=checkpoint.version, version=version)
