"""The pure online learner: River's models, one event at a time, behind the same interface as all learners.

It is chosen by configuration, or takes over by itself when the device fails. Its label delay is one event, not a
microbatch: each event is predicted by what was learned up to the event before it, and the baselines beside its scores
are held to that same delay.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.distillation import in_sequence
from models.drift import DriftWatch
from models.drift_options import FORGETFUL, HEAVIER, UNWATCHED, DriftOptions
from models.effort import FULL, Effort
from models.errors import StateMismatch
from models.evaluation import Prequential
from models.examples import Examples, Features, Task
from models.learner import (
    Array,
    Json,
    LearnerOptions,
    LearnerState,
    LearnerStatus,
    LearnReport,
    Predictor,
    Published,
    Tested,
    Trial,
)
from models.online_model import OnlineModel, Scored
from models.online_predictor import BLOB, SCHEMA, OnlinePredictor, pack, unpack


class OnlineLearner:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    options
        ``loss``, ``optimizer`` (``sgd`` or ``adagrad``), ``learning_rate``, ``weight_decay``, ``window`` and ``seed``
        are used; what concerns devices and gradient steps over many rows has no meaning here.
    task
        What is predicted.
    event_clip
        Bound on the norm of each event's gradient with respect to the outputs, its weight included; None for none.
    drift
        Whether it watches for drift, and what follows: with ``reset`` and ``background`` its models begin anew.
    publish_interval
        Seconds that pass at least between one publication and the next: pickling the model costs milliseconds, and
        learning an event microseconds. In between :meth:`published` says that nothing changed.
    clock
        Monotonic seconds.

    Raises
    ------
    LearnerOptionsInvalid
    """

    def __init__(
        self,
        options: LearnerOptions,
        task: Task,
        *,
        event_clip: float | None = None,
        drift: DriftOptions = UNWATCHED,
        publish_interval: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._event_clip = event_clip
        self._model = OnlineModel(options, task)
        self._model.event_clip = event_clip
        self._evaluation = Prequential(task, options.window, "cpu", one_by_one=True)
        self._drift = drift
        self._follows = drift.reaction(options.kind)
        self._watch = DriftWatch(drift, task, "cpu")
        self._heavier = 0  # rows to come that weigh more than others
        self._publish_interval = publish_interval
        self._clock = clock
        self._published: Published | None = None
        self._published_at = 0.0
        self._unpublished = True

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`."""
        return "online"

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self._model.task

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:  # noqa: ARG002 - it has one way to learn
        """See :class:`models.learner.Learner`."""
        drifts, tested = 0, None
        if len(examples):
            known, informed = examples.known(), self._model.rows > 0
            scored = (
                self._model.learn(self._weighted(known)) if examples.taught is None else self._study(examples, known)
            )
            self._evaluation.grow(len(self._model.classes))
            drifts = self._score(scored, known)
            if drifts:
                self._react()
            self._unpublished = True
            if informed and len(known):
                tested = Tested(torch.from_numpy(scored.predictions), torch.from_numpy(scored.targets))
        return LearnReport(len(examples), drifts, tested)

    def _study(self, examples: Examples, known: Examples) -> Scored:
        """Learn what labels and a teacher together say, row by row; return what those that have a label were given."""
        sequence, own = in_sequence(examples)
        scored = self._model.learn(self._weighted(sequence))
        if self.task is Task.REGRESSION:  # there the two have become one number
            return Scored(scored.predictions[own], np.array(known.labels, np.float64))
        return Scored(scored.predictions[own], scored.targets[own])

    def _score(self, scored: Scored, known: Examples) -> int:
        """Score the predictions of rows that have a label; return how often they drifted."""
        weights = known.weights
        if not len(weights):
            return 0
        answers, targets = torch.from_numpy(scored.predictions), torch.from_numpy(scored.targets)
        classes = tuple(self._model.classes)
        self._evaluation.update(answers, targets, weights, answered=known.answered, classes=classes)
        return self._watch.update(answers, targets, weights, self._model.deviation)

    def _weighted(self, examples: Examples) -> Examples:
        """Return rows as they are to be learned: heavier for a while after a drift, where that is what follows."""
        if not self._heavier:
            return examples
        weights = examples.weights.copy()
        weights[: self._heavier] *= HEAVIER
        self._heavier = max(0, self._heavier - len(weights))
        return replace(examples, weights=weights)

    def _react(self) -> None:
        """Do what is to follow from a drift."""
        if self._follows == "forget":
            self._heavier = FORGETFUL
        elif self._follows != "none":
            self._model.begin_anew()

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`."""
        return OnlinePredictor(pack(self._model)[0])

    def try_out(self, features: Features, at_once: int = 0) -> Trial:  # noqa: ARG002 - it takes one at a time
        """See :class:`models.learner.Learner`: only the answers are looked at, for River has no list of parameters."""
        predictions = self._model.predict(features)
        given = (predictions.values, predictions.probabilities)
        return Trial(predictions, finite=all(np.isfinite(answers).all() for answers in given if answers is not None))

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`."""
        return LearnerStatus(
            scores=self._evaluation.scores(),
            reliability=self._evaluation.reliability(),
            skipped={},
            restorations=0,
            classes=tuple(self._model.classes),
            features=[{"name": key.name, "kind": key.kind.value} for key in self._model.features],
            device="cpu",
            device_memory=0,
            drift=self._watch.drifts,
        )

    def _identity(self) -> dict[str, Any]:
        """Return what a saved state must agree with."""
        options = self._options
        return {
            "learner": "online",
            "schema": SCHEMA,
            "task": self.task.value,
            "loss": options.loss,
            "optimizer": options.optimizer,
            "learning_rate": options.learning_rate,
            "weight_decay": options.weight_decay,
        }

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`."""
        blob, used = pack(self._model)
        evaluation, scores = self._evaluation.state()
        drift, watched = self._watch.state()
        arrays = {f"evaluation/{name}": array for name, array in scores.items()}
        arrays |= {f"drift/{name}": array for name, array in watched.items()}
        meta = {**self._identity(), "evaluation": evaluation, "drift": drift, "heavier": self._heavier}
        return LearnerState(meta, {BLOB: blob[:used].copy(), **arrays})

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`."""
        expected = self._identity()
        found = {key: state.meta.get(key) for key in expected}
        if found != expected or BLOB not in state.arrays:
            raise StateMismatch(f"saved: {found}; configured: {expected}: set these back, or start the model anew")
        model = unpack(state.arrays[BLOB])
        parts: dict[str, dict[str, Array]] = {"evaluation": {}, "drift": {}}
        for name, array in state.arrays.items():
            if name != BLOB:
                segment, _, within = name.partition("/")
                parts[segment][within] = array
        self._evaluation.restore(state.meta["evaluation"], parts["evaluation"])
        # A state of before there was a watch lacks it.
        self._watch.restore(state.meta.get("drift", {}), parts["drift"])
        self._heavier = state.meta.get("heavier", 0)
        self._model = model
        self._model.event_clip = self._event_clip
        self._published = None
        self._unpublished = True

    def forget_scores(self) -> None:
        """See :class:`models.learner.Learner`."""
        window, learned = self._options.window, self._model.rows > 0
        self._evaluation = Prequential(self.task, window, "cpu", one_by_one=True, learned=learned)
        self._watch = DriftWatch(self._drift, self.task, "cpu")

    def published(self, *, flush: bool = False) -> Published:
        """See :class:`models.learner.Learner`.

        While nothing new is due, ``changed`` is empty: what was published before is to be served on, as the version
        that it was published as.
        """
        now = self._clock()
        due = flush or now - self._published_at >= self._publish_interval
        if self._published and not (self._unpublished and due):
            return replace(self._published, changed={})
        blob, used = pack(self._model)
        spec: Json = {"learner": "online", "schema": SCHEMA, "task": self.task.value, "capacity": len(blob)}
        if self._published and self._published.spec == spec:
            self._published = Published(self._published.spec, {BLOB: blob}, {BLOB: [(0, used)]})
        else:
            self._published = Published(spec, {BLOB: blob})
        self._published_at, self._unpublished = now, False
        return self._published
