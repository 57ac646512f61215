"""Warm start: a new model begins with what another one has learned, and with none of its places in a log.

``warm_start: PATH`` names a model's folder, in this data directory or in another one, one checkpoint in it, or the file
of an export that has the learner's state (``headrace export --with-state``). It is read once, while the new model makes
its first checkpoint (``first_checkpoint.py``); the other model, which may be trained meanwhile, is left as it is.
"""

from collections.abc import Iterator
from pathlib import Path

import structlog

from models.contesting import restore
from models.errors import StateMismatch
from models.examples import Task
from models.learner import Learner
from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore
from service.errors import CheckpointInvalid, ConfigurationInvalid, ExportInvalid
from service.exporting.export_file import read_export
from service.learning.model import Model
from service.repair.canary import is_trusted
from service.restart.first_checkpoint import Known

_log = structlog.get_logger("headrace.warm_start")

_MUST_AGREE = ("kind", "loss", "optimizer")
"""Settings of the learner without which what was learned cannot be read; its network's are seen when it is."""


def warm_started(model: Model, path: Path) -> Known:
    """Return what the newest good checkpoint at `path` has learned, in a learner of `model`.

    Raises
    ------
    ConfigurationInvalid
        There is no checkpoint, or it is of another task, another kind of learner, or another schema; nothing has
        changed.
    CheckpointInvalid
        None of those that are there can be read.
    DeviceFailed
        The learner cannot be built on its device.
    """
    found = find_checkpoint(path, model.name)
    task = _check(model, path, found)
    learner = model.build_learner(task)
    try:
        restore(learner, found.learner)
    except StateMismatch as error:
        raise ConfigurationInvalid(f"warm_start: {path}: {error}; or leave warm_start out") from None
    _check_features(model, path, learner)
    learner.forget_scores()
    _log.info("begins with what another model has learned", path=str(path), version=found.version, task=task.value)
    classes = tuple(found.service.get("classes", ()))
    return Known(learner, classes, {"warm_start": str(path), "version": found.version})


def find_checkpoint(path: Path, name: str) -> Checkpoint:
    """Return the checkpoint that `path` means: itself, or the newest of a model's folder that was found good.

    Parameters
    ----------
    path
        Of a checkpoint's manifest, of an export, of a model's folder or its checkpoints, or of a data directory.
    name
        Of the model in a data directory.

    Raises
    ------
    ConfigurationInvalid, CheckpointInvalid
    """
    if path.suffix == ".safetensors":
        return _exported(path)
    if path.is_file():
        # Neither version nor size is known before it is read, and nobody asks for them here.
        found = CheckpointStore(path.parent).load(CheckpointInfo(-1, -1, 0.0, path, 0))
        assert found is not None, "one that is asked for by name is there"  # noqa: S101
        return found
    for folder in (path, path / "checkpoints", path / "models" / name / "checkpoints"):
        store = CheckpointStore(folder)
        if store.list():
            return _newest_good(store)
    raise ConfigurationInvalid(
        f"warm_start: {path}: there is no checkpoint; name a model's folder, such as data/models/{name}, or a "
        "manifest-….json below its checkpoints (`headrace checkpoints list` shows what a model has)"
    )


def _exported(path: Path) -> Checkpoint:
    """Return what an export holds, as a checkpoint of no place in any log."""
    try:
        export = read_export(path)
    except ExportInvalid as error:
        raise ConfigurationInvalid(f"warm_start: {error}") from None
    if export.state is None:
        raise ConfigurationInvalid(
            f"warm_start: {path} holds only what answers are made of: export it with `headrace export --with-state`"
        )
    about = export.about
    service = {**{key: about[key] for key in ("task", "learner", "classes")}, "options": export.options}
    return Checkpoint(about["version"], -1, {}, export.state, service, about["created"])


def _newest_good(store: CheckpointStore) -> Checkpoint:
    """Return the newest checkpoint that was not found bad, or the newest where all were."""
    newest: Checkpoint | None = None
    for checkpoint in _readable(store):
        if is_trusted(checkpoint):
            return checkpoint
        newest = newest or checkpoint
    assert newest is not None, "where none can be read, that is raised"  # noqa: S101
    return newest


def _readable(store: CheckpointStore) -> Iterator[Checkpoint]:
    """Yield the checkpoints that can be read, newest first; raises CheckpointInvalid where none can."""
    problem: CheckpointInvalid | None = None
    read = 0
    for info in store.list():
        try:
            checkpoint = store.load(info)
        except CheckpointInvalid as error:
            problem = error
            continue
        if checkpoint is not None:
            read += 1
            yield checkpoint
    if problem is not None and not read:
        raise problem


def _check(model: Model, path: Path, found: Checkpoint) -> Task:
    """Return what the checkpoint's learner predicts; refuse one that this model could not go on with."""
    task, configured = found.service.get("task"), model.configured_task
    if not task:
        raise ConfigurationInvalid(f"warm_start: {path}: nothing has been learned there yet")
    if configured is not None and configured.value != task:
        raise ConfigurationInvalid(
            f"warm_start: {path} has learned the task {task}, and this model's is {configured.value}: set task to "
            f"{task} or auto, or leave warm_start out"
        )
    saved, own = found.service.get("options", {}), model.learner_options()
    for key in _MUST_AGREE:
        if key in saved and saved[key] != own[key]:
            raise ConfigurationInvalid(
                f"warm_start: {path} has learned with learner.{key}: {saved[key]}, and this model's is {own[key]}: set "
                f"it to {saved[key]}, or leave warm_start out"
            )
    return Task(task)


def _check_features(model: Model, path: Path, learner: Learner) -> None:
    """Refuse a declared schema by which a feature that was learned is another one."""
    known: dict[str, set[str]] = {}
    for feature in learner.status().features:
        known.setdefault(feature["name"], set()).add(feature["kind"])
    for name, kind in model.settings.events.features.items():
        if name in known and kind.value not in known[name]:
            kinds = " and ".join(sorted(known[name]))
            raise ConfigurationInvalid(
                f"warm_start: {path} knows the feature {name} as a {kinds}, and events.features declares it as a "
                f"{kind.value}: what was learned of it would be of no use. Declare it as a {kinds}, or leave "
                "warm_start out"
            )
