"""Batch training, for comparison: a fresh network, trained for epochs over the past, again every so many rows.

This is how models are usually kept current where nothing learns from a stream: between one training and the next it
answers with what was learned then. Behind the same interface as all learners it can be compared with them, and served.
How many rows are kept, how often and how long it trains are the arguments ``past``, ``every`` and ``epochs`` of
``network``; the others, such as ``hidden``, are the network's.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from models.answer_scores import AnswerScores, loss_over, places_of_new
from models.batch_past import Past, epoch, grouped
from models.distillation import in_sequence
from models.effort import FULL, Effort
from models.errors import LearnerOptionsInvalid, StateMismatch
from models.examples import Examples, Features, Task
from models.learner import (
    Array,
    LearnerOptions,
    LearnerState,
    LearnerStatus,
    LearnReport,
    Predictor,
    Published,
    Trial,
)
from models.names import under
from models.targets import create_targets
from models.torch_learner import TorchLearner

SCHEMA = 1
DEFAULTS: Mapping[str, int] = {"past": 20_000, "every": 5_000, "epochs": 10}
"""Rows that are kept, rows between two trainings, and how often each training goes through them at most."""

PATIENCE = 2  # epochs without a better answer before training ends: one alone may be chance
MINIBATCH = 512  # rows that the network learns from in one call; its gradient steps are within them


class BatchLearner:
    """See :class:`models.learner.Learner`.

    The first training is over the first microbatch, the next ones when the number of rows has doubled, until ``every``
    rows lie between two of them: so it answers from the start, and all early trainings cost less than one late one.

    Parameters
    ----------
    options
        As for the network ``mlp``, which is what is trained; ``replay`` has no meaning here.
    task
        What is predicted.
    event_clip
        See :class:`models.torch_learner.TorchLearner`.

    Raises
    ------
    LearnerOptionsInvalid
    """

    def __init__(self, options: LearnerOptions, task: Task, event_clip: float | None = None) -> None:
        arguments = dict(options.network)
        self._options, self._task, self._event_clip = options, task, event_clip
        self._settings = {name: _count(name, arguments.pop(name, default)) for name, default in DEFAULTS.items()}
        self._arguments = arguments
        self._past = Past(self._settings["past"])
        self._targets = create_targets(task)
        self._scores = AnswerScores(task, options.window)
        self._rows = self._trainings = 0
        self._due = 1
        self._network = self._fresh()
        self._published: Published | None = None
        self._unpublished = True

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`: what it publishes is the microbatch learner's."""
        return self._network.name

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self._task

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:  # noqa: ARG002 - its work has a time of its own
        """See :class:`models.learner.Learner`; most calls only keep the rows, and some train for seconds."""
        tested = None
        if len(examples):
            known = examples.known()
            if len(known):
                scored = self._scores.update(self._network.try_out(known.features).predictions, known)
                tested = scored if self._rows else None
            # What a teacher says is kept as rows like any others, and trained on with them.
            given = known if examples.taught is None else in_sequence(examples)[0]
            kept = given.take(np.flatnonzero(given.weights > 0))
            self._past.add(kept)
            self._rows += len(kept)
            new = self._new_classes(kept)
            if len(kept) and self._rows >= self._due:
                self._train()
            elif len(new):
                # Until the next training it knows a new class by this one step.
                self._network.learn(new)
                self._unpublished = True
        return LearnReport(examples=len(examples), tested=tested)

    def _new_classes(self, examples: Examples) -> Examples:
        """Return the first row of each class that was not met before, and remember it."""
        if self._task is Task.REGRESSION or not len(examples):
            return Examples.empty()
        known = len(self._targets.classes)
        new = examples.take(places_of_new(self._targets.read(examples.labels).astype(np.int64), known))
        if len(new):
            self._past.remember(new)
        return new

    def _train(self) -> None:
        """Train a fresh network over the past; classes take their places in the order in which they were first met.

        The newest tenth is held out to tell when another epoch makes the answers worse (early stopping: Prechelt,
        1998), and learned at last.
        """
        self._trainings += 1
        network, past = self._fresh(), self._past.cleaned(numeric=self._task is Task.REGRESSION)
        network.learn(past.firsts)
        random = np.random.Generator(np.random.PCG64([self._options.seed, self._trainings]))
        rest, newest = past.held_out()
        best, least, worse = network.state(), math.inf, 0
        for _ in range(self._settings["epochs"]):
            for minibatch in epoch(rest, MINIBATCH, random):
                network.learn(minibatch)
            if not newest:
                continue
            loss = loss_over(network, list(grouped(newest, MINIBATCH)))
            if loss < least:
                best, least, worse = network.state(), loss, 0
            else:
                worse += 1
            if worse == PATIENCE:
                break
        if worse:
            network.restore(best)
        for minibatch in grouped(newest, MINIBATCH):
            network.learn(minibatch)
        self._network = network
        self._due = self._rows + min(self._rows, self._settings["every"])
        self._unpublished = True

    def _fresh(self) -> TorchLearner:
        """Return a network that has learned nothing; what it goes through again is the past, so it replays nothing."""
        options = replace(self._options, kind="mlp", replay=0, network=self._arguments)
        return TorchLearner(options, self._task, self._event_clip)

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`."""
        return self._network.predictor()

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """See :class:`models.learner.Learner`."""
        return self._network.try_out(features, at_once)

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`: the network's, with the scores of before each row was kept."""
        scores, reliability = self._scores.scores(), self._scores.reliability()
        return replace(self._network.status(), scores=scores, reliability=reliability)

    def published(self, *, flush: bool = False) -> Published:
        """See :class:`models.learner.Learner`; nothing changes between one training and the next."""
        if self._published is not None and not self._unpublished:
            self._published = replace(self._published, changed={})
            return self._published
        before, after = self._published, self._network.published(flush=flush)
        if before is not None and before.spec == after.spec and _alike(before.arrays, after.arrays):
            after = Published(before.spec, after.arrays)
        self._published, self._unpublished = after, False
        return after

    def _identity(self) -> dict[str, Any]:
        """Return what a saved state must agree with."""
        return {"learner": "batch", "schema": SCHEMA, "task": self._task.value, **self._settings}

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`."""
        network = self._network.state()
        scores, arrays = self._scores.state()
        meta = {
            **self._identity(),
            "network": network.meta,
            "scores": scores,
            "classes": list(self._targets.classes),
            "counters": [self._rows, self._trainings, self._due],
        }
        packed = {"past/rows": self._past.state(), **{f"scores/{name}": array for name, array in arrays.items()}}
        return LearnerState(meta, packed | {f"model-{name}": array for name, array in network.arrays.items()})

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`."""
        expected = self._identity()
        found = {key: state.meta.get(key) for key in expected}
        if found != expected or "past/rows" not in state.arrays:
            raise StateMismatch(f"saved: {found}; configured: {expected}: set these back, or start the model anew")
        network = self._fresh()
        network.restore(LearnerState(state.meta["network"], under("model-", state.arrays)))
        self._scores.restore(state.meta["scores"], under("scores/", state.arrays))
        self._past.restore(state.arrays["past/rows"])
        self._targets = create_targets(self._task, state.meta["classes"])
        self._rows, self._trainings, self._due = state.meta["counters"]
        self._network, self._published, self._unpublished = network, None, True

    def forget_scores(self) -> None:
        """See :class:`models.learner.Learner`."""
        self._scores = AnswerScores(self._task, self._options.window, learned=self._rows > 0)


def _count(name: str, value: Any) -> int:
    """Return a setting that counts something."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise LearnerOptionsInvalid(f"network.{name}: {value!r} is not a whole number of at least 1")
    return value


def _alike(before: Mapping[str, Array], after: Mapping[str, Array]) -> bool:
    """Return whether arrays have the same names, shapes and dtypes."""
    layouts = [{name: (array.shape, array.dtype) for name, array in each.items()} for each in (before, after)]
    return layouts[0] == layouts[1]
