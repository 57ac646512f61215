"""The pure online model: each event is predicted and then learned, before the next is looked at.

This object is what is pickled, into checkpoints and into what is published.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.examples import Examples, FeatureKey, Features, Label, Task
from models.learner import LearnerOptions, Predictions
from models.online_heads import HEADS, Head, Settings
from models.online_rows import RowEncoder, keys_present, split_rows

LISTED = 4096  # features after which no more are listed; they are learned all the same
SMALLEST = 1e-12  # below which an error is nothing


class Scored(NamedTuple):
    """What was predicted of some rows, each before it was learned.

    Attributes
    ----------
    predictions
        float64; probabilities of shape (rows, classes known after all rows), or values of shape (rows,).
    targets
        Class indices, int64, or labels, float64; shape (rows,).
    """

    predictions: NDArray[np.float64]
    targets: NDArray[np.int64] | NDArray[np.float64]


class OnlineModel:
    """Encoder, River's model, and the classes and features met so far.

    Attributes
    ----------
    event_clip
        Bound on the norm of an event's gradient with respect to the outputs, its weight included; None for none.

    Parameters
    ----------
    options
        See :class:`models.online_heads.Settings`; and ``seed``.
    task
        What is predicted.

    Raises
    ------
    LearnerOptionsInvalid
    """

    event_clip: float | None = None  # what was pickled before there was one has none

    def __init__(self, options: LearnerOptions, task: Task) -> None:
        self.task = task
        self.rows = 0
        self.classes: dict[Label, int] = {}
        self.features: dict[FeatureKey, None] = {}
        self._encoder = RowEncoder(options.seed)
        self._head: Head = HEADS[task](Settings(options, task))

    def predict(self, features: Features) -> Predictions:
        """Return predictions for all rows; changes nothing."""
        rows = [self._predict(*row) for row in split_rows(features)]
        if self.task is Task.REGRESSION:
            return Predictions(values=np.array(rows, np.float64).reshape(len(rows)))
        probabilities = np.array(rows, np.float32).reshape(len(rows), len(self.classes))
        return Predictions(tuple(self.classes), probabilities)

    def _predict(self, numbers: dict[str, float], items: dict[str, int]) -> list[float]:
        """Return the probabilities of the classes known, or one value."""
        if self.task is Task.REGRESSION or len(self.classes) > 1:
            return self._head.predict(self._encoder.encode(numbers, items))
        return [1.0] * len(self.classes)

    def learn(self, examples: Examples) -> Scored:
        """Predict and then learn each row in turn; one with weight 0 is only predicted.

        Raises
        ------
        ModelError
            A third class in a binary task: what comes before should have kept it out.
        """
        predicted: list[list[float]] = []
        targets: list[float] = []
        weights = examples.weights.tolist()
        for row, label, weight in zip(split_rows(examples.features), examples.labels, weights, strict=True):
            predicted.append(self._predict(*row))
            targets.append(self._target(label))
            if weight > 0:
                numbers, items = row
                self._encoder.learn(numbers)
                bounded = self._bounded(weight, predicted[-1], targets[-1])
                self._head.learn(self._encoder.encode(numbers, items), targets[-1], bounded)
        self.rows += len(targets)
        room = LISTED - len(self.features)
        if room > 0:
            present = keys_present(examples.features, examples.weights > 0)
            self.features |= dict.fromkeys([key for key in present if key not in self.features][:room])
        return self._scored(predicted, targets)

    @property
    def deviation(self) -> float:
        """Standard deviation of the labels so far, for regression; 1 for classes."""
        return self._head.deviation

    def begin_anew(self) -> None:
        """Give up what was learned, but for the classes, and for how features and labels are distributed."""
        self._head.begin_anew()

    def _bounded(self, weight: float, predicted: list[float], target: float) -> float:
        """Return a weight, or what is left of it so that the event's gradient stays within its bound."""
        if self.event_clip is None:
            return weight
        if self.task is Task.REGRESSION:
            deviation = self._head.deviation
            norm = abs(target - predicted[0]) / deviation if deviation > 0 else 0.0
        else:
            norm = math.hypot(*(share - (place == target) for place, share in enumerate(predicted)))
            # Two classes share one output; a class that is met for the first time has no share yet.
            norm = norm / math.sqrt(2) if self.task is Task.BINARY else norm
            norm = norm if target < len(predicted) else math.hypot(norm, 1.0)
        return min(weight, self.event_clip / max(norm, SMALLEST))

    def _target(self, label: Label) -> float:
        """Return a label as a number, or the index of a class, which gets its place when it is first met."""
        if self.task is Task.REGRESSION:
            return float(label)
        if label not in self.classes and self.task is Task.BINARY and len(self.classes) == 2:
            raise ModelError(
                f"a binary task knows two classes, {list(self.classes)}, but here is {label!r}: "
                "set the task to multiclass"
            )
        return self.classes.setdefault(label, len(self.classes))

    def _scored(self, predicted: list[list[float]], targets: list[float]) -> Scored:
        """Return predictions as an array; classes not known at the time have probability 0."""
        if self.task is Task.REGRESSION:
            return Scored(np.array(predicted, np.float64).reshape(len(predicted)), np.array(targets, np.float64))
        probabilities = np.zeros((len(predicted), len(self.classes)))
        for row, shares in enumerate(predicted):
            probabilities[row, : len(shares)] = shares
        return Scored(probabilities, np.array(targets, np.int64))
