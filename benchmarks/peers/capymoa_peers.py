"""CapyMOA's learners (MOA, in Java), with their defaults.

They are told the classes and the values of each category before the stream begins, for MOA cannot learn without; the
other learners meet them as they come.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from capymoa.classifier import AdaptiveRandomForestClassifier, LeveragingBagging, StreamingRandomPatches
from capymoa.core import LabeledInstance, RegressionInstance
from capymoa.regressor import AdaptiveRandomForestRegressor
from capymoa.stream import Schema

from benchmarks.learning.streams import Stream
from models.examples import Examples, Features, Label, Task
from models.learner import Predictions

Make = Callable[[Any, int], Any]

CLASSIFIERS: Mapping[str, Make] = {
    "arf-100": lambda schema, seed: AdaptiveRandomForestClassifier(schema, ensemble_size=100, random_seed=seed),
    "arf-10": lambda schema, seed: AdaptiveRandomForestClassifier(schema, ensemble_size=10, random_seed=seed),
    "srp-100": lambda schema, seed: StreamingRandomPatches(schema, ensemble_size=100, random_seed=seed),
    "leveraging-bagging-100": lambda schema, seed: LeveragingBagging(schema, ensemble_size=100, random_seed=seed),
}
REGRESSORS: Mapping[str, Make] = {
    "arf-100": lambda schema, seed: AdaptiveRandomForestRegressor(schema, ensemble_size=100, random_seed=seed),
    "arf-10": lambda schema, seed: AdaptiveRandomForestRegressor(schema, ensemble_size=10, random_seed=seed),
}
TARGET = "the target"


MOST_VALUES = 50
"""Of a category that MOA is told as one; with more, its trees grow a branch for each and its naive Bayes answers
nothing at all, so that the values' places in the alphabet are given as numbers."""


class CapyMOA:
    """A learner of MOA's; see :class:`benchmarks.peers.competitor.Competitor`."""

    answers_while_learning = False

    def __init__(self, make: Make, stream: Stream, seed: int) -> None:
        features = stream.examples.features
        self._regression = stream.task is Task.REGRESSION
        self._categories = {name: _places(column) for name, column in features.categories.items()}
        nominal = {
            name: [str(place) for place in range(len(known))]
            for name, known in self._categories.items()
            if len(known) <= MOST_VALUES
        }
        self._classes: list[Label] = []
        if not self._regression:
            self._classes = sorted(set(stream.examples.labels), key=str)
            nominal[TARGET] = [str(label) for label in self._classes]
        self._places = {label: place for place, label in enumerate(self._classes)}
        names = [key.name for key in features.keys] + list(features.categories)
        self._schema = Schema.from_custom([*names, TARGET], TARGET, nominal)
        self._learner = make(self._schema, seed)
        self._instances: list[Any] = []

    def predict(self, features: Features) -> Predictions:
        """Answer row by row."""
        made = RegressionInstance if self._regression else LabeledInstance
        # The label is not known yet; it is filled in when it is learned.
        self._instances = [made.from_array(self._schema, row, 0) for row in self._matrix(features)]
        if self._regression:
            values = [float(self._learner.predict(instance)) for instance in self._instances]
            return Predictions(values=np.array(values))
        probabilities = np.zeros((len(self._instances), len(self._classes)), np.float32)
        for given, instance in zip(probabilities, self._instances, strict=True):
            votes = self._learner.predict_proba(instance)
            if votes is not None:
                given[:] = votes
        return Predictions(tuple(self._classes), probabilities)

    def learn(self, examples: Examples) -> None:
        """Learn row by row."""
        for instance, label in zip(self._instances, examples.labels, strict=True):
            target = float(label) if self._regression else float(self._places[label])
            instance.java_instance.getData().setClassValue(target)
            self._learner.train(instance)

    def _matrix(self, features: Features) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return numbers, and categories as their places in the schema; NaN is missing to MOA too."""
        codes = [
            [np.nan if value is None else float(known[value]) for value in features.categories[name]]
            for name, known in self._categories.items()
        ]
        return np.column_stack([features.numbers, *codes])


def _places(column: Any) -> dict[str, int]:
    """Return the values of a category, numbered; MOA needs one at least."""
    values = sorted({value for value in column if value is not None})
    return {value: place for place, value in enumerate(values)} or {"": 0}


def create(name: str, stream: Stream, seed: int) -> CapyMOA:
    """Return one of MOA's learners."""
    return CapyMOA((REGRESSORS if stream.task is Task.REGRESSION else CLASSIFIERS)[name], stream, seed)
