"""A kept checkpoint → an export: its learner is built again, and asked what a serving process would be given."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from service.checkpoints import Checkpoint, CheckpointStore
from service.errors import CheckpointInvalid
from service.exporting.export_file import Export
from service.publishing.checkpoint_learner import learner_of, options_of
from service.restart.rollback import find_checkpoint


def export_of(store: CheckpointStore, which: int | str | None, *, with_state: bool = False) -> Export:
    """Return one version of a model.

    Parameters
    ----------
    store
        The model's checkpoints.
    which
        Version or name of one of them; None for the newest.
    with_state
        Whether to take all that the learner is, so that another model can go on learning from it.

    Raises
    ------
    CheckpointInvalid
        There is none, or it cannot be read.
    ModelError
        Its learner cannot be built.
    """
    checkpoint = store.load() if which is None else find_checkpoint(store, which)
    if checkpoint is None:
        raise CheckpointInvalid("there is nothing to export yet: no checkpoint was written")
    learner = learner_of(checkpoint)
    published, status = learner.published(flush=True), learner.status()
    about = {
        **_origin(checkpoint),
        "task": learner.task.value,
        "learner": learner.name,
        "classes": list(status.classes),
        "features": [dict(feature) for feature in status.features],
    }
    state = learner.state() if with_state else None
    return Export(about, published.spec, published.arrays, asdict(options_of(checkpoint)), state)


def _origin(checkpoint: Checkpoint) -> dict[str, object]:
    """Return where an export is from."""
    service = checkpoint.service
    return {
        "model": service["model"],
        "version": checkpoint.version,
        "restored_from": service.get("restored_from"),
        "created": checkpoint.created,
        "events_learned": service.get("lane", {}).get("learned"),
        "headrace": _program(),
    }


def _program() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:
        return ""
