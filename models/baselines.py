"""What a learner must be better than to be of any use: answers that take no notice of the features.

They are tested like learners, at the same label delay (``delayed.py``); at a delay of one event, repeating the last
label is hard to beat where labels come in runs, and at a delay of 64 it knows next to nothing.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from models.examples import Examples, Features, Label, Task
from models.learner import Predictions, Trial


class Majority:
    """Answers each class with its share of the weights so far, so that the commonest is the likeliest."""

    def __init__(self) -> None:
        self._weights: dict[Label, float] = {}

    def try_out(self, features: Features) -> Trial:
        """See :class:`models.delayed.Answering`."""
        weights = np.array(list(self._weights.values()))
        shares = weights / max(float(weights.sum()), 1e-300) if len(weights) else weights
        rows = np.tile(shares.astype(np.float32), (len(features), 1))
        return Trial(Predictions(tuple(self._weights), rows), finite=True)

    def learn(self, examples: Examples) -> None:
        """See :class:`models.delayed.Answering`."""
        for label, weight in zip(examples.labels, examples.weights.tolist(), strict=True):
            self._weights[label] = self._weights.get(label, 0.0) + weight


class Mean:
    """Answers the weighted mean of the numbers so far."""

    def __init__(self) -> None:
        self._mean = self._weight = 0.0

    def try_out(self, features: Features) -> Trial:
        """See :class:`models.delayed.Answering`."""
        return Trial(Predictions(values=np.full(len(features), self._mean)), finite=True)

    def learn(self, examples: Examples) -> None:
        """See :class:`models.delayed.Answering`."""
        weight = float(examples.weights.sum(dtype=np.float64))
        if weight > 0:
            self._weight += weight
            here = float(np.average(np.array(examples.labels, np.float64), weights=examples.weights))
            self._mean += (here - self._mean) * weight / self._weight


class NoChange:
    """Answers the last label that is known, as if nothing else were possible.

    Parameters
    ----------
    task
        What is predicted.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._last: Label | None = None

    def try_out(self, features: Features) -> Trial:
        """See :class:`models.delayed.Answering`."""
        rows = len(features)
        if self._task is Task.REGRESSION:
            return Trial(Predictions(values=np.full(rows, float(self._last or 0.0))), finite=True)
        known = () if self._last is None else (self._last,)
        return Trial(Predictions(known, np.ones((rows, len(known)), np.float32)), finite=True)

    def learn(self, examples: Examples) -> None:
        """See :class:`models.delayed.Answering`."""
        if len(examples):
            self._last = examples.labels[-1]


BASELINES: dict[str, dict[Task, Callable[[], Majority | Mean | NoChange]]] = {
    "majority": {Task.BINARY: Majority, Task.MULTICLASS: Majority},
    "mean": {Task.REGRESSION: Mean},
    "no-change": {task: partial(NoChange, task) for task in Task},
}
"""Name → task → what makes it; one that is missing does not know the task."""
