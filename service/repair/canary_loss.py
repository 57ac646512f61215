"""How wrong predictions are about events whose labels are known: one number, the smaller the better."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Label
from models.learner import Predictions

_LEAST = 1e-6
"""No probability counts as less: one class that nobody knew yet must not outweigh everything else."""


def loss_of(predictions: Predictions, examples: Examples) -> float:
    """Return the log loss (classes, in nats), or the root of the mean squared error (numbers, in the labels' unit).

    Parameters
    ----------
    predictions
        For the rows of `examples`.
    examples
        With a weight above 0 in at least one row.
    """
    if predictions.probabilities is None:
        assert predictions.values is not None, "predictions have probabilities or values"  # noqa: S101
        return _root_mean_square(predictions.values - np.asarray(examples.labels, np.float64), examples)
    places = _places(predictions.classes, examples.labels)
    known = places >= 0
    found = np.full(len(examples), _LEAST)
    found[known] = predictions.probabilities[known, places[known]]
    # What is no number is as wrong as can be.
    losses = -np.log(np.nan_to_num(found, nan=0.0).clip(_LEAST, 1.0))
    return float(np.average(losses, weights=examples.weights))


def loss_of_knowing_nothing(examples: Examples, *, classes: int) -> float:
    """Return the loss of who says the same of every event: all classes alike, or the mean.

    Parameters
    ----------
    examples
        With a weight above 0 in at least one row.
    classes
        How many there are; 0 for numbers.
    """
    if classes:
        return float(np.log(max(classes, 2)))
    labels = np.asarray(examples.labels, np.float64)
    return _root_mean_square(labels - np.average(labels, weights=examples.weights), examples)


def _root_mean_square(errors: NDArray[np.float64], examples: Examples) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.average(np.square(errors), weights=examples.weights)))


def _places(classes: Sequence[Label], labels: Sequence[Label]) -> NDArray[np.intp]:
    """Return each label's column, -1 for a class that is not known; 1 and true are two classes."""
    columns = {(type(label), label): column for column, label in enumerate(classes)}
    return np.array([columns.get((type(label), label), -1) for label in labels], np.intp)
