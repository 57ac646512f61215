"""Parameters from the newest checkpoint, for when nothing is published: no trainer has run since the machine started.

On the path it stands in for the publication. It is loaded between requests, never within one.
"""

from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from models.examples import Task
from models.learner import LearnerOptions, Predictor
from models.registry import create_learner
from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore

_log = structlog.get_logger("headrace.serve")


class CheckpointFallback:
    """Holds a predictor over the newest checkpoint. Loading belongs to one thread at a time; reading, to any.

    Parameters
    ----------
    folder
        Where the model's checkpoints are.
    """

    def __init__(self, folder: Path) -> None:
        self._store = CheckpointStore(folder)
        self._loaded: tuple[Checkpoint, Predictor] | None = None
        self._newest: CheckpointInfo | None = None

    @property
    def loaded(self) -> tuple[Checkpoint, Predictor] | None:
        """The checkpoint that is loaded, and what predicts from it."""
        return self._loaded

    def load(self) -> None:
        """Load the newest checkpoint, unless it is loaded already or there is none.

        Raises
        ------
        CheckpointInvalid
            There are checkpoints, but none of them can be used.
        ModelError
            The learner cannot be built from it.
        """
        kept = self._store.list()
        newest = kept[0] if kept else None
        if newest is not None and newest == self._newest:
            return
        checkpoint = self._store.load()
        if checkpoint is None:
            return
        self._loaded = (checkpoint, _predictor_of(checkpoint))
        self._newest = newest
        _log.info("serving from a checkpoint: no trainer publishes", version=checkpoint.version)

    def unload(self) -> None:
        """Let go of the parameters."""
        self._loaded = None
        self._newest = None


def _predictor_of(checkpoint: Checkpoint) -> Predictor:
    options = msgspec.convert(checkpoint.service["options"], LearnerOptions)
    # The server has no use for a device, and may have none.
    options = replace(options, device="cpu")
    if checkpoint.service["learner"] == "online":
        options = replace(options, kind="online")
    learner = create_learner(options, Task(checkpoint.service["task"]))
    learner.restore(checkpoint.learner)
    return learner.predictor()
