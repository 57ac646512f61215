"""Answers predictions from whatever parameters there are: the published ones, else a checkpoint's, else none.

On the path it stands between the publication, which the trainer writes, and the API. Learning never makes it wait: it
computes over mapped memory and looks afterwards whether that still held one version (``publishing/subscription.py``).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from models.errors import ModelError
from models.examples import Features
from models.explanation import Explanation, explain
from models.learner import Json, Predictions, Predictor, SharingPredictor
from models.registry import load_predictor
from service.errors import CheckpointInvalid, PublicationMissing
from service.publishing.checkpoint_fallback import CheckpointFallback
from service.publishing.subscription import Subscription, View

Origin = Literal["publication", "checkpoint", "nothing"]

_PREDICTOR = "predictor"

_log = structlog.get_logger("headrace.serve")


@dataclass(frozen=True, slots=True)
class Served:
    """Which parameters an answer comes from.

    Attributes
    ----------
    version
        Updates behind them; 0 before any.
    learner
        ``microbatch`` or ``online``.
    published_at
        Unix seconds at which they were published, or the checkpoint was taken; for version 0 without a trainer,
        those at which this server began.
    restored_from
        The version that they were rolled back to.
    origin
        Where they were found.
    """

    version: int
    learner: str
    published_at: float
    restored_from: int | None
    origin: Origin

    def age(self) -> float:
        """Return the seconds since these parameters were published."""
        return max(0.0, time.time() - self.published_at)


class ServingModel:
    """One model's predictions. Threads may share it, but one at a time may call :meth:`refresh`.

    Parameters
    ----------
    publication, checkpoints
        The model's folders.
    learner
        Name of the learner that is configured: for version 0, before one has said so itself.
    identity
        Returns the model's, so that nothing is answered from another one that had its name; by default all is taken.
    """

    def __init__(
        self, publication: Path, checkpoints: Path, learner: str, identity: Callable[[], str] | None = None
    ) -> None:
        self._subscription = Subscription(publication, of_model=identity)
        self._fallback = CheckpointFallback(checkpoints)
        self._nothing = Served(0, learner, time.time(), None, "nothing")
        self._looked = False
        self._problem: str | None = None

    @property
    def attached(self) -> bool:
        """Whether predictions can be asked for: version 0 counts, a checkpoint that cannot be read does not."""
        return self._looked and self._problem is None

    def refresh(self) -> None:
        """Look for parameters where that takes longer than a request may; what is wrong with them is logged once."""
        problem = None
        if self._subscription.refresh():
            self._fallback.unload()
        else:
            problem = self._load_checkpoint()
        if problem is not None and problem != self._problem:
            _log.error("the newest checkpoint cannot be served", reason=problem)
        self._problem = problem
        self._looked = True

    def predict(self, features: Features, keys: Sequence[int] | None = None) -> tuple[Served, Predictions]:
        """Return predictions for all rows, and which parameters all of them come from.

        Parameters
        ----------
        features
            Of the rows.
        keys
            One number a row, from 0 to 2^64 - 1: where challengers answer some of them, by these. None: the champion
            answers all, as it does where there is no publication.

        Raises
        ------
        PublicationMissing
            There are parameters, but they cannot be used now.
        """
        try:
            header, predictions = self._subscription.read(lambda view: _answer(_predictor_over(view), features, keys))
        except PublicationMissing:
            return self._predict_unpublished(features)
        return _published(header), predictions

    def explain(
        self, features: Features, keys: Sequence[int] | None = None
    ) -> tuple[Served, Predictions, Sequence[Explanation]]:
        """Return predictions for all rows, which parameters they come from, and by the same ones why; may take long.

        Takes and raises what :meth:`predict` does. There are no explanations where nothing can be answered yet.
        """
        numbers = None if keys is None else np.array(keys, np.uint64)
        try:
            header, found = self._subscription.read(lambda view: explain(_predictor_over(view), features, numbers))
        except PublicationMissing:
            served, predictor = self._checkpointed()
            if predictor is None:
                return served, _unknown(features), []
            return served, *explain(predictor, features)
        return _published(header), *found

    def served(self) -> Served | None:
        """Return which parameters an answer would come from now; None where none can be given."""
        try:
            return _published(self._subscription.header())
        except PublicationMissing:
            if not self.attached:
                return None
        return self._unpublished()[0]

    def _load_checkpoint(self) -> str | None:
        """Load the newest checkpoint, if need be; return what keeps version 0 from being the truth."""
        try:
            self._fallback.load()
        except (CheckpointInvalid, ModelError) as error:
            # Something was learned, it just cannot be had: version 0's answer would be a lie. An older one would not.
            return str(error) if self._fallback.loaded is None else None
        return None

    def _predict_unpublished(self, features: Features) -> tuple[Served, Predictions]:
        served, predictor = self._checkpointed()
        return served, _unknown(features) if predictor is None else predictor.predict(features)

    def _checkpointed(self) -> tuple[Served, Predictor | None]:
        """Return what is served without a publication.

        Raises
        ------
        PublicationMissing
            Nobody knows yet what that is.
        """
        if not self.attached:
            raise PublicationMissing(self._problem or "the parameters are still being looked for; ask again")
        return self._unpublished()

    def _unpublished(self) -> tuple[Served, Predictor | None]:
        loaded = self._fallback.loaded
        if loaded is None:
            return self._nothing, None
        checkpoint, predictor = loaded
        learner = str(checkpoint.service["learner"])
        restored_from = checkpoint.service.get("restored_from")
        return Served(checkpoint.version, learner, checkpoint.created, restored_from, "checkpoint"), predictor


def _predictor_over(view: View) -> Predictor:
    """Return the predictor over a view's arrays: made once for as long as they stay where they are."""
    predictor: Predictor | None = view.cache.get(_PREDICTOR)
    if predictor is None:
        predictor = view.cache[_PREDICTOR] = load_predictor(view.spec, view.arrays)
    return predictor


def _answer(predictor: Predictor, features: Features, keys: Sequence[int] | None) -> Predictions:
    if keys is None or not isinstance(predictor, SharingPredictor):
        return predictor.predict(features)
    return predictor.predict_by(features, np.array(keys, np.uint64))


def _unknown(features: Features) -> Predictions:
    """Return what is answered before anything was learned."""
    return Predictions(probabilities=np.empty((len(features), 0), np.float32))


def _published(header: Json) -> Served:
    return Served(
        header["version"],
        header["learner"],
        header["published_at"],
        header.get("restored_from"),
        "publication",
    )
