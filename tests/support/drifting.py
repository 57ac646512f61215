"""Streams that drift, one kind of drift each, and how long a learner takes to be back after one."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Label, Task
from models.learner import Learner
from tests.support.learning import labelled, numbers

Drift = Literal["none", "abrupt", "gradual", "recurring", "features"]

ROWS = 64  # in a microbatch
WIDTH = 1000  # rows that a gradual drift takes
NOISE = 0.05  # share of labels that say the opposite; of the deviation of numbers


def drifting(kind: Drift, task: Task, rows: int, seed: int = 0) -> Examples:
    """Return rows of a stream that drifts; `rows` are those of one concept.

    ``abrupt``: from one row to the next another concept. ``gradual``: over ``WIDTH`` rows more and more of the other.
    ``recurring``: the first concept, the second, and both again. ``features``: the concept stays, and two numbers are
    measured in other units from the middle on.
    """
    random = np.random.default_rng([seed, rows])
    length = rows * (4 if kind == "recurring" else 2)
    place = np.arange(length)
    values = random.normal(size=(length, 5))
    other = {
        "abrupt": place >= rows,
        "gradual": random.random(length) < 1 / (1 + np.exp(-8 * (place - rows) / WIDTH)),
        "recurring": place // rows % 2 == 1,
    }.get(kind, np.zeros(length, bool))
    score = np.where(other, values[:, 2] - values[:, 0], values[:, 0] + values[:, 1])
    if kind == "features":
        values[rows:, :2] = values[rows:, :2] * [5.0, 0.2] + [3.0, -1.0]
    return labelled(numbers(values), _labels(task, score, random))


def _labels(task: Task, score: NDArray[np.float64], random: np.random.Generator) -> list[Label]:
    """Return labels that follow from a score, with some noise."""
    if task is Task.REGRESSION:
        return list((10 + score + NOISE * random.normal(size=len(score))).tolist())
    edges = [0.0] if task is Task.BINARY else [-0.6, 0.6]
    places = np.digitize(score, edges)
    mistaken = random.random(len(score)) < NOISE
    return list(np.where(mistaken, len(edges) - places, places).astype(str).tolist())


def cut(examples: Examples, rows: int = ROWS) -> Iterator[Examples]:
    """Yield microbatches."""
    for start in range(0, len(examples), rows):
        yield examples.slice(start, start + rows)


def errors(made: Learner, examples: Examples) -> NDArray[np.float64]:
    """Have a learner learn a stream, and return the error of each row, predicted before its microbatch was learned.

    1 for a wrong class, or the absolute error of a number.
    """
    found: list[NDArray[np.float64]] = []
    for given in cut(examples):
        predictions = made.try_out(given.features).predictions
        if predictions.values is not None:
            found.append(np.abs(predictions.values - np.array(given.labels, np.float64)))
        elif predictions.probabilities is None or not predictions.classes:
            found.append(np.ones(len(given)))
        else:
            guesses = [predictions.classes[place] for place in predictions.probabilities.argmax(1).tolist()]
            pairs = zip(guesses, given.labels, strict=True)
            found.append(np.array([guess != label for guess, label in pairs], np.float64))
        made.learn(given)
    return np.concatenate(found)


def rows_to_be_back(found: NDArray[np.float64], drifted: int, until: int, window: int = 256) -> int | None:
    """Return how many rows after a drift the mean error of `window` rows is about what it was before; None: never.

    About: within 0.05 of it for classes, or 1.5 times it.
    """
    before = found[drifted - 1000 : drifted].mean()
    means = np.convolve(found[drifted:until], np.ones(window) / window, "valid")
    back = np.flatnonzero(means <= max(before + 0.05, 1.5 * before))
    return int(back[0]) + window if len(back) else None
