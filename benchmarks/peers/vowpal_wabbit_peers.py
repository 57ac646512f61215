"""Vowpal Wabbit's linear learner with its defaults: adaptive, normalised, hashed."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import vowpalwabbit

from benchmarks.learning.streams import Stream
from benchmarks.peers.rows import Latest, Row
from models.examples import Examples, Features, Label, Task
from models.learner import Predictions

_SPECIAL = re.compile(r"[\s:|]")


class VowpalWabbit:
    """A workspace of Vowpal Wabbit; see :class:`benchmarks.peers.competitor.Competitor`."""

    answers_while_learning = False

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._latest = Latest()
        self._classes: list[Label] = sorted(set(stream.examples.labels), key=str)
        # Classes are numbered from 1; those of two are -1 and 1 to the logistic loss.
        numbers = range(1, len(self._classes) + 1) if stream.task is Task.MULTICLASS else (-1, 1)
        self._numbers: Mapping[Label, int] = dict(zip(self._classes, numbers, strict=False))
        options: dict[str, Any] = {"loss_function": "squared"}
        if stream.task is Task.BINARY:
            options = {"loss_function": "logistic", "link": "logistic"}
        elif stream.task is Task.MULTICLASS:
            options = {"loss_function": "logistic", "oaa": len(self._classes), "probabilities": True}
        self._workspace: Any = vowpalwabbit.Workspace(quiet=True, **options)

    def predict(self, features: Features) -> Predictions:
        """Answer row by row."""
        rows = self._latest.rows(features, text=self._stream.text)
        answers = np.array([self._workspace.predict(f"| {_line(row)}") for row in rows], np.float64)
        if self._stream.task is Task.REGRESSION:
            return Predictions(values=answers)
        if self._stream.task is Task.BINARY:
            answers = np.column_stack([1 - answers, answers])
        return Predictions(tuple(self._classes), answers.astype(np.float32))

    def learn(self, examples: Examples) -> None:
        """Learn row by row."""
        rows = self._latest.rows(examples.features, text=self._stream.text)
        for row, label in zip(rows, examples.labels, strict=True):
            target = float(label) if self._stream.task is Task.REGRESSION else self._numbers[label]
            self._workspace.learn(f"{target} | {_line(row)}")


def _line(row: Row) -> str:
    """Return a row in Vowpal Wabbit's format: ``name:number`` and ``name=category``."""
    cells = []
    for name, value in row.items():
        plain = _SPECIAL.sub("_", name)
        cells.append(f"{plain}={_SPECIAL.sub('_', value)}" if isinstance(value, str) else f"{plain}:{value!r}")
    return " ".join(cells)


def create(name: str, stream: Stream, seed: int) -> VowpalWabbit:  # noqa: ARG001 - one kind, nothing random in it
    """Return Vowpal Wabbit."""
    return VowpalWabbit(stream)
