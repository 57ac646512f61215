"""A teacher's answers and labels become what is learned: rows with targets and weights, as every learner takes them.

The loss of a row with a label y and a teacher's probabilities q is (1 - λ) · loss(y) + λ · Σ q(c) · loss(c), where λ is
the teacher's weight (Hinton, Vinyals and Dean, arXiv 1503.02531). That is, exactly, the loss of the same row met once
for each class, with weights (1 - λ) · [c = y] + λ · q(c). So no learner need know of teachers: it learns weighted rows.
For numbers both terms come to one row with the target (1 - λ) · y + λ · v: exact for the squared loss. A row without a
label has the teacher's term alone, and so weighs λ.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Label
from models.learner import Predictions
from models.targets import ClassTargets
from models.taught import Taught

NAMED = 8  # classes of a row that a teacher names, at most,
LEAST = 0.05  # and how probable it takes a class to be that it names: a row is learned once for each


class Lesson(NamedTuple):
    """What is to be learned of some rows.

    Attributes
    ----------
    rows
        int64, shape (targets,), ascending: which row each target is of. At least one for each row.
    targets
        Indices of classes, int64, or numbers, float64; shape (targets,). Of a row, the most probable comes last.
    shares
        float32, shape (targets,): how much of its row each is; 1 in all for each row.
    own
        bool, shape (targets,): which are the row's own label.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64 | np.float64]
    shares: NDArray[np.float32]
    own: NDArray[np.bool_]


def heard(predictions: Predictions, weight: float, temperature: float = 1.0) -> Taught | None:
    """Return what a teacher says by its predictions; None where they say nothing.

    Parameters
    ----------
    predictions
        The teacher's, for all rows.
    weight
        See :class:`models.taught.Taught`; below 1.
    temperature
        By which the logarithms of its probabilities are divided: above 1 they become more alike, below 1 less.
    """
    if predictions.probabilities is None:
        values = predictions.values
        if values is None or not np.isfinite(values).all():
            return None
        nothing = np.empty((len(values), 0))
        return Taught(weight, (), nothing.astype(np.uint16), nothing.astype(np.float16), values.astype(np.float64))
    probabilities = predictions.probabilities.astype(np.float64)
    if not probabilities.shape[1] or not np.isfinite(probabilities).all():
        return None
    if temperature != 1.0:
        # Relative to the largest, which neither overflows nor vanishes.
        probabilities /= np.maximum(probabilities.max(1, keepdims=True), np.finfo(np.float64).tiny)
        probabilities **= 1 / temperature
        probabilities /= probabilities.sum(1, keepdims=True)
    named = min(NAMED, probabilities.shape[1])
    chosen = np.argsort(-probabilities, axis=1, kind="stable")[:, :named]
    shares = np.take_along_axis(probabilities, chosen, 1)
    # The most probable one is always named, for of thousands of classes none need be probable.
    shares[:, 1:][shares[:, 1:] < LEAST] = 0.0
    shares[:, 0] = np.maximum(shares[:, 0], np.finfo(np.float64).tiny)
    shares /= shares.sum(1, keepdims=True)
    used = int((shares > 0).any(0).sum())
    return Taught(
        weight,
        predictions.classes,
        chosen[:, :used].astype(np.uint16),
        shares[:, :used].astype(np.float16),
        np.empty(0),
    )


def lesson_in_numbers(taught: Taught, labels: NDArray[np.float64], labelled: NDArray[np.bool_]) -> Lesson:
    """Return what is to be learned where numbers are the target.

    Parameters
    ----------
    taught
        What the teacher says of all rows.
    labels
        Of the rows that have one, in order.
    labelled
        bool, shape (rows,).
    """
    targets = taught.values.copy()
    targets[labelled] = (1 - taught.weight) * labels + taught.weight * targets[labelled]
    rows = np.arange(len(labelled), dtype=np.int64)
    return Lesson(rows, targets, np.ones(len(rows), np.float32), labelled)


def lesson_in_classes(
    taught: Taught, labels: NDArray[np.int64], labelled: NDArray[np.bool_], places: NDArray[np.int64]
) -> Lesson:
    """Return what is to be learned where classes are the target.

    Parameters
    ----------
    taught, labelled
        See :func:`lesson_in_numbers`.
    labels
        Indices of the classes of the rows that have one, in order.
    places
        The learner's index of each of the teacher's classes.
    """
    said_of, column = np.nonzero(taught.shares)
    said = places[taught.chosen[said_of, column]]
    shares = taught.weight * taught.shares[said_of, column].astype(np.float64)
    own_rows = np.flatnonzero(labelled)
    width = 1 + max(int(each.max(initial=0)) for each in (said, labels))
    # The same class by label and by teacher is one target.
    keys = np.concatenate([own_rows * width + labels, said_of * width + said])
    both = np.concatenate([np.full(len(own_rows), 1 - taught.weight), shares])
    distinct, inverse = np.unique(keys, return_inverse=True)
    summed: NDArray[np.float64] = np.bincount(inverse, both, len(distinct)).astype(np.float64)
    own = np.zeros(len(distinct), np.bool_)
    own[inverse[: len(own_rows)]] = True
    rows, targets = distinct // width, distinct % width
    summed /= np.bincount(rows, summed, len(labelled))[rows]
    order = np.lexsort((summed, rows))
    return Lesson(rows[order], targets[order], summed[order].astype(np.float32), own[order])


def weights_of(examples: Examples) -> NDArray[np.float32]:
    """Return what each row weighs, shape (rows,): one without a label has the teacher's term of the loss alone."""
    if examples.taught is None or examples.labelled is None:
        return examples.weights
    return np.where(examples.labelled, examples.weights, np.float32(examples.taught.weight) * examples.weights)


def in_sequence(examples: Examples) -> tuple[Examples, NDArray[np.bool_]]:
    """Return rows that a teacher has said something of as ones that have labels and weights, nothing else.

    Returns
    -------
    examples
        Each row as often as it has targets, its own label first.
    own
        bool, shape (rows,): which rows have their own label.
    """
    taught, labelled = examples.taught, marks_of(examples)
    assert taught is not None, "only where there is a teacher"  # noqa: S101
    known = examples.known().labels
    labels: Sequence[Label]
    if len(taught.values):
        lesson = lesson_in_numbers(taught, np.array(known, np.float64), labelled)
        labels = [float(target) for target in lesson.targets.tolist()]
    else:
        targets = ClassTargets(taught.classes, {})
        own = targets.read(known)
        lesson = lesson_in_classes(taught, own, labelled, np.arange(len(taught.classes)))
        order = np.lexsort((~lesson.own, lesson.rows))
        lesson = Lesson(lesson.rows[order], lesson.targets[order], lesson.shares[order], lesson.own[order])
        labels = [targets.classes[target] for target in lesson.targets.tolist()]
    weights = weights_of(examples)[lesson.rows] * lesson.shares
    taken = examples.features.take(lesson.rows)
    return Examples(taken, labels, weights, examples.timestamps[lesson.rows]), lesson.own


def marks_of(examples: Examples) -> NDArray[np.bool_]:
    """Return which rows have a label, bool, shape (rows,)."""
    return np.ones(len(examples), np.bool_) if examples.labelled is None else examples.labelled
