"""What ``headrace pause``, ``resume`` and ``rollback`` do: a command to the trainer, through the data directory."""

import os
from typing import Any

from models.learner import Json
from service.checkpoints import CheckpointStore
from service.commands.command_answers import Answer, model_of
from service.config import Settings
from service.monitoring.learning_metrics import trainer_is_up
from service.monitoring.status import read_status
from service.operating.command_table import CommandTable
from service.operating.ordering import check_kept, checkpoint_of, result_of, wait_for
from service.restart.rollback import DECISION as ROLLBACK
from service.wiring import commands_path, model_paths

_WAIT_SECONDS = 60.0
"""A person waits longer than an HTTP client does, and sees the trainer's end at once."""


def pause_command(settings: Settings, model: str | None, kind: str) -> Answer:
    """Have learning pause or go on, as `kind` says.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    StorageFailed
        The command cannot be written.
    """
    name = model_of(settings, model)
    data = _ordered(settings, name, kind, {})
    if not _is_done(data):
        return Answer(_waits(data), data)
    return Answer(f"{name} {'is paused' if data['paused'] else 'learns'}, at version {data['model_version']}", data)


def rollback_command(settings: Settings, model: str | None, which: str, then: str | None) -> Answer:
    """Have a model's trainer go back to a checkpoint, by its version or its name.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    RequestInvalid
        There is no such checkpoint, or the trainer cannot go back to it.
    StorageFailed
        The command cannot be written.
    """
    name = model_of(settings, model)
    meant = checkpoint_of(which)
    check_kept(CheckpointStore(model_paths(settings, name).checkpoints).list(), meant, "version")
    data = _ordered(settings, name, ROLLBACK, {"checkpoint": meant, "then": then})
    if not _is_done(data):
        return Answer(_waits(data), data)
    text = f"version {data['model_version']} of {name} is version {data['restored_from']} again; learning "
    return Answer(text + ("is paused" if data["paused"] else "goes on from there"), data)


def _ordered(settings: Settings, name: str, kind: str, data: Json) -> dict[str, Any]:
    table = CommandTable(commands_path(settings))
    path = model_paths(settings, name).status
    try:
        number = table.order(name, kind, data, f"headrace {kind}, by user {os.getuid()}")
        return result_of(wait_for(table, name, number, lambda: trainer_is_up(read_status(path)), _WAIT_SECONDS))
    finally:
        table.close()


def _is_done(data: dict[str, Any]) -> bool:
    return bool(data["state"] == "done")


def _waits(data: dict[str, Any]) -> str:
    return f"command {data['command']} to {data['model']} waits: {data['detail']}"
