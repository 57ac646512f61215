"""Streams to learn in tests of learners, and learners that learned them."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import LearnerOptions, Predictions
from models.network_expert import NetworkExpert
from models.registry import load_predictor
from models.torch_learner import TorchLearner

torch.set_num_threads(1)  # these networks are too small for more to be of use

NUMBERS = tuple(FeatureKey(f"x{place}", Kind.NUMBER) for place in range(4))
CITIES = ("Oslo", "Lima", "Pune", "Nara")


def numbers(values: NDArray[np.float64], names: str = "x") -> Features:
    """Return features that are numbers only: shape (rows, columns)."""
    keys = tuple(FeatureKey(f"{names}{place}", Kind.NUMBER) for place in range(values.shape[1]))
    return Features(len(values), keys, values)


def labelled(features: Features, labels: list[Label], weights: NDArray[np.float32] | None = None) -> Examples:
    """Return examples, of weight 1 if nothing else is said."""
    rows = len(features)
    weights = np.ones(rows, np.float32) if weights is None else weights
    return Examples(features, labels, weights, np.full(rows, np.nan))


def stream(task: Task, rows: int, seed: int, *, product: bool = False) -> Examples:
    """Return rows whose label follows from numbers and a category: linearly, or by the product of two numbers."""
    random = np.random.default_rng([seed, rows, int(product)])
    values = random.normal(size=(rows, len(NUMBERS)))
    cities = random.integers(len(CITIES), size=rows)
    score = (
        2 * values[:, 0] * values[:, 1]
        if product
        else 1.5 * values[:, 0] - values[:, 1] + (cities == 2) - (cities == 3)
    )
    labels: list[Label]
    if task is Task.REGRESSION:
        labels = (50 + 10 * score + random.normal(size=rows)).tolist()
    elif task is Task.BINARY:
        labels = (score > 0).tolist()
    else:
        labels = [("low", "mid", "high")[place] for place in np.digitize(score, [-0.6, 0.6]).tolist()]
    names = [CITIES[city] for city in cities.tolist()]
    words = [["warm", "sunny"] if city < 2 else ["cold"] for city in cities.tolist()]
    return labelled(Features(rows, NUMBERS, values, {"city": names}, {"words": words}), labels)


def microbatches(
    task: Task, count: int, rows: int = 64, *, first: int = 0, product: bool = False
) -> Iterator[Examples]:
    """Yield microbatches of :func:`stream`."""
    for seed in range(first, first + count):
        yield stream(task, rows, seed, product=product)


def learner(task: Task = Task.BINARY, **options: object) -> TorchLearner:
    """Return a new learner on the CPU."""
    return TorchLearner(LearnerOptions(**{"device": "cpu", **options}), task)  # type: ignore[arg-type] # tests know them


def trained(task: Task = Task.BINARY, count: int = 8, **options: object) -> TorchLearner:
    """Return a learner that has learned some microbatches of :func:`stream`."""
    made = learner(task, **options)
    for given in microbatches(task, count):
        made.learn(given)
    return made


def network(made: TorchLearner) -> NetworkExpert:
    """Return a learner's expert, which is a network."""
    assert isinstance(made.expert, NetworkExpert)
    return made.expert


def answers(made: TorchLearner, features: Features) -> NDArray[np.float64]:
    """Return what a learner's predictor answers: probabilities or values."""
    return numbers_of(made.predictor().predict(features))


def numbers_of(predictions: Predictions) -> NDArray[np.float64]:
    """Return probabilities or values."""
    found = predictions.values if predictions.probabilities is None else predictions.probabilities
    return np.asarray(found, np.float64)


def expect_the_same_after_a_restart(made: TorchLearner, rest: Iterable[Examples], asked: Features) -> None:
    """Have a learner and one restored from it go on, and expect the same of both, and of what is served."""
    again = TorchLearner(made.options, made.task)
    again.restore(made.state())
    for given in rest:
        for one in (made, again):
            one.learn(given)
    left, right = made.state(), again.state()
    assert left.meta == right.meta
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=name)
    published = made.published()
    served = numbers_of(load_predictor(published.spec, published.arrays).predict(asked))
    np.testing.assert_array_equal(served, answers(again, asked))
    np.testing.assert_array_equal(served, numbers_of(made.try_out(asked).predictions))
