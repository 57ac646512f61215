"""Labels ↔ what a network learns: indices of classes, or numbers; and what its outputs are relative to.

Outputs for numbers are standardised by mean and deviation of the labels, a scale that stands still for long and is then
renewed, for what has learned in one unit must be told of another. Outputs for classes are relative to the logarithms of
the classes' shares so far. So what has learned nothing predicts the mean, or the shares, whatever the labels' unit.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_layout import power_of_two
from models.encoder_sides import Scale
from models.examples import Label, Task
from models.learner import Array
from models.moments import COUNT, LIMIT, MEAN, OUTLIER, SHRUNK, add_values, deviations_of
from models.moments import ROWS as MOMENTS

LEAST_CLASSES = 2
FORGOTTEN = 1e-6  # what is left of what was learned in a unit of garbage: not 0, or what is infinite would become NaN
FARTHEST = 0.25  # how far beyond the labels seen a prediction may lie, as a share of their range


class ClassTargets:
    """Classes in order of appearance, and how often each was met.

    Parameters
    ----------
    classes
        Those known.
    arrays
        ``summary``: float64, shape (capacity,), rows of each class; taken as it is, not copied.
    """

    def __init__(self, classes: Sequence[Label], arrays: Mapping[str, Array]) -> None:
        self.classes = list(classes)
        self.arrays: dict[str, Array] = {"summary": np.zeros(LEAST_CLASSES), **arrays}
        # By type: 1 and true are two classes, though Python takes them for equal.
        self._places: dict[type, dict[Label, int]] = {}
        for place, label in enumerate(self.classes):
            self._places.setdefault(type(label), {})[label] = place

    def read(self, labels: Sequence[Label]) -> NDArray[np.int64]:
        """Return the classes' indices, shape (rows,); classes that are new get theirs."""
        kinds = set(map(type, labels))
        try:
            (kind,) = kinds
            return np.fromiter(map(self._places[kind].__getitem__, labels), np.int64, len(labels))
        except (KeyError, ValueError):  # a new class, or several types of labels
            self._add(labels)
        return np.fromiter((self._places[type(label)][label] for label in labels), np.int64, len(labels))

    def _add(self, labels: Sequence[Label]) -> None:
        """Give places to new classes."""
        for label in labels:
            places = self._places.setdefault(type(label), {})
            if label not in places:
                places[label] = len(self.classes)
                self.classes.append(label)
        missing = power_of_two(len(self.classes), LEAST_CLASSES) - len(self.arrays["summary"])
        if missing > 0:
            self.arrays["summary"] = np.pad(self.arrays["summary"], (0, missing))

    def observe(self, targets: NDArray[Any]) -> None:
        """Count classes; there is no scale that would have to be renewed."""
        summary = self.arrays["summary"]
        summary += np.bincount(targets, minlength=len(summary))

    def scale(self) -> Scale:
        """Return mean and standard deviation of the second class's indicator."""
        counts = self.arrays["summary"][: len(self.classes)]
        share = float((counts[1] + 0.5) / (counts.sum() + 0.5 * len(counts))) if len(counts) > 1 else 0.0
        return Scale(share, math.sqrt(share * (1 - share)))

    def _shares(self) -> NDArray[np.float64]:
        """Return the share of each class, at least one of them being one half of a row."""
        counts: NDArray[np.float64] = self.arrays["summary"][: len(self.classes)] + 0.5
        counts /= counts.sum()
        return counts

    def offsets(self) -> NDArray[np.float32]:
        """Return what is added to each class's logit, shape (classes,)."""
        return np.log(self._shares()).astype(np.float32)


LOW, HIGH, AT, CENTRE, UNIT = range(MOMENTS, MOMENTS + 5)  # rows of the summary, after those of the moments
DOUBLING = 4096  # labels up to which the scale is renewed each time that there are twice as many
MOVED = 0.05  # share of the unit by which mean or deviation has to have moved to renew the scale after that


class Rescaling(NamedTuple):
    """A new scale in terms of the one before: what was t is now factor · t + shift.

    Where the one before was made by garbage, what was learned in it says nothing, and becomes next to the mean.
    """

    factor: float
    shift: float


class NumberTargets:
    """Running mean, variance and range of numeric labels, and the scale in use.

    Parameters
    ----------
    arrays
        ``summary``: float64, shape (ROWS + 5, 1): moments, lowest and highest label, and of the scale the number of
        labels that it is from, its mean and its deviation; taken as it is, not copied.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.classes: list[Label] = []
        self.arrays: dict[str, Array] = {"summary": np.zeros((MOMENTS + 5, 1)), **arrays}

    def read(self, labels: Sequence[Label]) -> NDArray[np.float64]:
        """Return labels as numbers, shape (rows,)."""
        return np.clip(np.array(labels, np.float64), -LIMIT, LIMIT)

    def observe(self, targets: NDArray[Any]) -> Rescaling | None:
        """Take in labels; return what the scale has become, if it was renewed."""
        summary = self.arrays["summary"]
        first = not summary[COUNT, 0]
        add_values(summary[:MOMENTS], targets[:, None], gaps=False)
        mean, deviation = float(summary[MEAN, 0]), float(deviations_of(summary[:MOMENTS])[0])
        reach = OUTLIER * deviation
        # One that no other label is near says nothing of what may be predicted.
        low, high = max(float(targets.min()), mean - reach), min(float(targets.max()), mean + reach)
        if not first:
            low, high = min(low, summary[LOW, 0]), max(high, summary[HIGH, 0])
        summary[LOW : HIGH + 1, 0] = low, high
        return self._renew(mean, deviation)

    def _renew(self, mean: float, deviation: float) -> Rescaling | None:
        """Take mean and deviation so far for the scale, if it is time to."""
        summary = self.arrays["summary"]
        count, (at, centre, unit) = float(summary[COUNT, 0]), summary[AT:, 0].tolist()
        early = at < DOUBLING and count >= 2 * at
        moved = abs(deviation - unit) > MOVED * unit or abs(mean - centre) > MOVED * unit
        if not (early or moved) or (mean, deviation) == (centre, unit):
            return None
        summary[AT:, 0] = count, mean, deviation
        if not at or not deviation:
            return None  # there was no scale to learn in, or there is none now
        if unit > SHRUNK * deviation:
            return Rescaling(FORGOTTEN, 0.0)
        return Rescaling(unit / deviation if unit else 1.0, (centre - mean) / deviation)

    def standard(self, targets: NDArray[Any]) -> NDArray[np.float32]:
        """Return labels in units of the scale, shape (rows,); 0 where all labels were the same."""
        mean, deviation = self.scale()
        standard: NDArray[np.float64] = (targets - mean) * (1 / deviation if deviation else 0.0)
        return np.clip(standard, -OUTLIER, OUTLIER).astype(np.float32)

    def scale(self) -> Scale:
        """Return mean and deviation of the scale in use; a deviation of 0 where all labels were the same."""
        return Scale(float(self.arrays["summary"][CENTRE, 0]), float(self.arrays["summary"][UNIT, 0]))

    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest number that may be predicted."""
        low, high = self.arrays["summary"][LOW : HIGH + 1, 0].tolist()
        reach = FARTHEST * (high - low)
        return low - reach, high + reach


Targets = ClassTargets | NumberTargets


def create_targets(task: Task, classes: Sequence[Label] = (), arrays: Mapping[str, Any] | None = None) -> Targets:
    """Return the targets of a task."""
    return NumberTargets(arrays or {}) if task is Task.REGRESSION else ClassTargets(classes, arrays or {})
