"""Parameters from the newest checkpoint, for when nothing is published: no trainer has run since the machine started.

On the path it stands in for the publication. It is loaded between requests, never within one.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog

from models.errors import ModelError
from models.learner import Predictor
from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore
from service.errors import CheckpointInvalid
from service.publishing.checkpoint_learner import learner_of

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
        self._seen: Sequence[CheckpointInfo] | None = None
        self._error: CheckpointInvalid | ModelError | None = None

    @property
    def loaded(self) -> tuple[Checkpoint, Predictor] | None:
        """The checkpoint that is loaded, and what predicts from it."""
        return self._loaded

    def load(self) -> None:
        """Load the newest checkpoint that is whole, unless nothing has changed since the last time.

        Raises
        ------
        CheckpointInvalid
            There are checkpoints, but none of them can be used.
        ModelError
            The learner cannot be built from it.
        """
        seen = self._store.list()
        if seen != self._seen:
            self._error = None
            try:
                self._load_newest()
            except (CheckpointInvalid, ModelError) as error:
                self._error = error
            self._seen = seen
        if self._error is not None:
            raise self._error

    def _load_newest(self) -> None:
        checkpoint = self._store.load()
        if checkpoint is None:
            # They were there: the model was moved away, or begins anew.
            self._loaded = None
            return
        self._loaded = (checkpoint, learner_of(checkpoint).predictor())
        _log.info("serving from a checkpoint: no trainer publishes", version=checkpoint.version)

    def unload(self) -> None:
        """Let go of the parameters."""
        self._loaded = None
        self._seen = None
