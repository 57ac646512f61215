"""Scores of answers as a learner hands them out: on the host, each with the classes that were known when it was given.

What learners keep of themselves is scored on the device where the answers were computed (``evaluation.py``); this is
for whoever asks a learner, whatever kind it is, and compares with the labels afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluation import Prequential
from models.evaluation_ranking import ReliabilityBin
from models.examples import Examples, Features, Task
from models.learner import Array, Json, Predictions, Tested, Trial
from models.targets import create_targets


class AnswerScores:
    """See :class:`models.evaluation.Prequential`.

    Parameters
    ----------
    task
        What is predicted.
    window
        Rows of the recent window.
    learned
        Whether who answers had learned labels before.
    """

    def __init__(self, task: Task, window: int, *, learned: bool = False) -> None:
        self._task = task
        self._targets = create_targets(task)
        self._scores = Prequential(task, window, "cpu", learned=learned)

    def update(self, answers: Predictions, examples: Examples) -> Tested:
        """Score answers that were all given before the first of these labels was seen; return both."""
        targets = self._targets.read(examples.labels)
        if self._task is Task.REGRESSION:
            known: Array = np.zeros(len(examples)) if answers.values is None else answers.values
        else:
            places = self._targets.read(answers.classes)
            known = np.zeros((len(examples), len(self._targets.classes)), np.float32)
            if answers.probabilities is not None:
                known[:, places] = answers.probabilities
            self._scores.grow(len(self._targets.classes))
        # Copies: PyTorch knows no arrays that are not to be written to.
        given, there = (torch.from_numpy(np.array(each)) for each in (known, targets))
        asked, classes = examples.answered, self._targets.classes
        self._scores.update(given, there, examples.weights, answered=asked, classes=classes)
        return Tested(given, there)

    def scores(self) -> dict[str, dict[str, float]]:
        """See :meth:`models.evaluation.Prequential.scores`."""
        return self._scores.scores()

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """See :meth:`models.evaluation.Prequential.reliability`."""
        return self._scores.reliability()

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` needs: JSON, and arrays by name."""
        meta, arrays = self._scores.state()
        return {"classes": list(self._targets.classes), "evaluation": meta}, arrays

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Go on exactly where :meth:`state` was called.

        Raises
        ------
        StateMismatch
        """
        self._scores.restore(meta["evaluation"], arrays)
        self._targets = create_targets(self._task, meta["classes"])


class Answers(Protocol):
    """Who is asked: any :class:`models.learner.Learner`."""

    @property
    def task(self) -> Task:
        """What is predicted."""

    def try_out(self, features: Features) -> Trial:
        """Return answers; changes nothing."""


def loss_over(learner: Answers, rows: Sequence[Examples], then: Callable[[Examples], object] = lambda _: None) -> float:
    """Return the log loss, or for regression the root of the squared error, over rows that were not learned.

    Parameters
    ----------
    learner
        Who answers.
    rows
        In pieces, in order.
    then
        Called with each piece once it was answered, such as what learns it.
    """
    scores = AnswerScores(learner.task, 1, learned=True)
    for part in rows:
        scores.update(learner.try_out(part.features).predictions, part)
        then(part)
    return scores.scores()["stream"].get("rmse" if learner.task is Task.REGRESSION else "log_loss", 0.0)


def places_of_new(labels: NDArray[np.int64], known: int) -> NDArray[np.intp]:
    """Return the first row of each class whose index is `known` or more, in the order of the rows."""
    _, first = np.unique(labels, return_index=True)
    first.sort()
    new: NDArray[np.intp] = first[labels[first] >= known]
    return new
