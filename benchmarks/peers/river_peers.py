"""River's learners, as its own documentation sets them up, with its defaults."""

from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

import numpy as np
from river import (
    compose,
    dummy,
    ensemble,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    preprocessing,
    stats,
    tree,
)

from benchmarks.learning.streams import Stream
from benchmarks.peers.rows import Latest, Row
from models.examples import Examples, Features, Label, Task
from models.learner import Predictions


def one_hot(row: Row) -> dict[str, float]:
    """Return a row in which a category is a name of its own.

    River's encoder would add a zero for each of thousands of categories that the row has not.
    """
    return {
        f"{key}={value}" if isinstance(value, str) else key: 1.0 if isinstance(value, str) else value
        for key, value in row.items()
    }


def _scaled(model: Any) -> Any:
    """Return a pipeline: numbers standardised, categories one-hot."""
    numbers: Any = compose.SelectType(Number) | preprocessing.StandardScaler()
    categories: Any = compose.SelectType(str) | compose.FuncTransformer(one_hot)
    return (numbers + categories) | model


def _coded(model: Any) -> Any:
    """Return a pipeline: categories as integers, for those that take numbers only, as linear models in leaves do."""
    numbers: Any = compose.SelectType(Number)
    categories: Any = compose.SelectType(str) | preprocessing.OrdinalEncoder()
    return (numbers + categories) | model


def _linear(stream: Stream) -> Any:
    """Return linear, logistic or one-against-the-rest regression; a text is its words."""
    if stream.task is Task.REGRESSION:
        return _scaled(linear_model.LinearRegression())
    model = linear_model.LogisticRegression()
    if stream.task is Task.MULTICLASS:
        return _scaled(multiclass.OneVsRestClassifier(model))
    return model if stream.text else _scaled(model)


def _bayes(stream: Stream) -> Any:
    library: Any = naive_bayes
    return library.MultinomialNB() if stream.text else _coded(library.GaussianNB())


CLASSIFIERS: Mapping[str, Callable[[Stream, int], Any]] = {
    "arf-10": lambda _, seed: forest.ARFClassifier(n_models=10, seed=seed),
    "srp-10": lambda _, seed: ensemble.SRPClassifier(n_models=10, seed=seed),
    "leveraging-bagging-10": lambda _, seed: ensemble.LeveragingBaggingClassifier(
        tree.HoeffdingTreeClassifier(), n_models=10, seed=seed
    ),
    "hoeffding-adaptive-tree": lambda _, seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
    "amf-10": lambda _, seed: _coded(forest.AMFClassifier(n_estimators=10, seed=seed)),
    "knn": lambda *_: _scaled(neighbors.KNNClassifier()),
    "linear": lambda stream, _: _linear(stream),
    "naive-bayes": lambda stream, _: _bayes(stream),
    "no-change": lambda *_: dummy.NoChangeClassifier(),
    "prior": lambda *_: dummy.PriorClassifier(),
}
REGRESSORS: Mapping[str, Callable[[Stream, int], Any]] = {
    "arf-10": lambda _, seed: _coded(forest.ARFRegressor(n_models=10, seed=seed)),
    "srp-10": lambda _, seed: _coded(ensemble.SRPRegressor(n_models=10, seed=seed)),
    "hoeffding-adaptive-tree": lambda _, seed: _coded(tree.HoeffdingAdaptiveTreeRegressor(seed=seed)),
    "amf-10": lambda _, seed: _coded(forest.AMFRegressor(n_estimators=10, seed=seed)),
    "knn": lambda *_: _scaled(neighbors.KNNRegressor()),
    "linear": lambda stream, _: _linear(stream),
    "no-change": lambda *_: dummy.StatisticRegressor(stats.Shift(0)),
    "prior": lambda *_: dummy.StatisticRegressor(stats.Mean()),
}


class River:
    """A model of River's, one row at a time; see :class:`benchmarks.peers.competitor.Competitor`."""

    answers_while_learning = False

    def __init__(self, model: Any, stream: Stream) -> None:
        self._model = model
        self._stream = stream
        self._latest = Latest()
        # Two classes are false and true to River's logistic regression; which is which matters to nobody.
        self._classes: list[Label] = sorted(set(stream.examples.labels), key=str)
        self._binary = stream.task is Task.BINARY

    def predict(self, features: Features) -> Predictions:
        """Answer row by row."""
        rows = self._latest.rows(features, text=self._stream.text)
        if self._stream.task is Task.REGRESSION:
            return Predictions(values=np.array([self._model.predict_one(row) or 0.0 for row in rows], np.float64))
        places = {bool(place) if self._binary else label: place for place, label in enumerate(self._classes)}
        probabilities = np.zeros((len(rows), len(self._classes)), np.float32)
        for row, given in zip(rows, probabilities, strict=True):
            for label, share in self._model.predict_proba_one(row).items():
                if label in places:
                    given[places[label]] = share
        return Predictions(tuple(self._classes), probabilities)

    def learn(self, examples: Examples) -> None:
        """Learn row by row."""
        for row, label in zip(
            self._latest.rows(examples.features, text=self._stream.text), examples.labels, strict=True
        ):
            self._model.learn_one(row, label == self._classes[-1] if self._binary else label)


def create(name: str, stream: Stream, seed: int) -> River:
    """Return one of River's learners."""
    made = REGRESSORS if stream.task is Task.REGRESSION else CLASSIFIERS
    return River(made[name](stream, seed), stream)
