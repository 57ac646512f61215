"""Streams with a key whose values have weights of their own, and learners with small models for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Features, Label, Task
from models.learner import LearnerOptions
from models.torch_learner import TorchLearner
from tests.support.learning import NUMBERS, labelled

KEY = "device"


def keyed_learner(task: Task, key: str = KEY, **options: Any) -> TorchLearner:
    """Return a learner with a small model for each value of a feature; linear, where nothing else is said."""
    return TorchLearner(LearnerOptions(**{"kind": "linear", "device": "cpu", "key": key, **options}), task)


def keyed_stream(task: Task, rows: int, keys: int = 20, *, seed: int = 0) -> Examples:
    """Return rows whose label follows from numbers by weights of the row's own key, which is a category."""
    random = np.random.default_rng([seed, rows])
    return of_keys(task, random.integers(keys, size=rows), keys=keys, seed=seed)


def of_keys(task: Task, chosen: NDArray[np.int64], *, keys: int = 20, seed: int = 0) -> Examples:
    """Return rows of these keys, numbers below `keys`."""
    weights = np.random.default_rng(keys).normal(size=(keys, len(NUMBERS) + 1))[chosen]
    values = np.random.default_rng([seed, len(chosen), 1]).normal(size=(len(chosen), len(NUMBERS)))
    score = weights[:, 0] + (weights[:, 1:] * values).sum(1)
    names = {KEY: [f"device-{key}" for key in chosen.tolist()]}
    return labelled(Features(len(chosen), NUMBERS, values, names), _labels(task, score))


def _labels(task: Task, score: NDArray[np.float64]) -> list[Label]:
    if task is Task.REGRESSION:
        return (50 + 10 * score).tolist()  # type: ignore[no-any-return] # NumPy says Any of lists
    if task is Task.BINARY:
        return (score > 0).tolist()  # type: ignore[no-any-return] # see above
    return [("low", "mid", "high")[place] for place in np.digitize(score, [-0.8, 0.8]).tolist()]


def learn(learner: TorchLearner, examples: Examples, size: int = 64) -> None:
    """Learn rows in microbatches."""
    for start in range(0, len(examples), size):
        learner.learn(examples.slice(start, start + size))


def scores(learner: TorchLearner) -> dict[str, float]:
    """Return the prequential scores of the whole stream."""
    return dict(learner.status().scores["stream"])


def counts(learner: TorchLearner) -> dict[str, float]:
    """Return what is reported of keys."""
    return dict(learner.status().experts["keys"])


def without(examples: Examples, names: Sequence[str] = (KEY,)) -> Features:
    """Return features without some categories."""
    features = examples.features
    kept = {name: column for name, column in features.categories.items() if name not in names}
    return Features(features.rows, features.keys, features.numbers, kept)
