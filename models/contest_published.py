"""What a contest publishes: the champion's parameters, and beside them those of challengers who answer some requests.

Where none is to answer any, what is published is the champion's own, and serving processes know of no contest.
Else it is all of them as one: one version, replaced at once, from which :class:`ContestPredictor` answers each row by
the one whose share of all keys the row's key lies in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.examples import Features, Label, Task
from models.learner import Array, Json, Learner, Predictions, Predictor, Published, check_spec
from models.names import beneath, under

NAME = "contest"
SCHEMA = 1

Keys = NDArray[np.uint64]
LoadPredictor = Callable[[Json, Mapping[str, Array]], Predictor]


@dataclass(frozen=True, slots=True)
class Arm:
    """A challenger that answers a share, 0 to 1, of all keys."""

    name: str
    share: float
    learner: Learner


class Merging:
    """Makes :class:`models.learner.Published` of a champion, and of arms, again and again.

    Parameters
    ----------
    named
        Whether answers say who gave them, though it may be the champion alone at the moment.

    Attributes
    ----------
    fresh
        Whether nothing was published yet: then all is, however seldom a learner hands something over.
    """

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._parts: list[Json] = []
        self._arms: list[tuple[str, float]] = []
        self._spec: Json = {}
        self.fresh = True

    def make(self, champion: str, task: Task, own: Published, others: Sequence[tuple[Arm, Published]]) -> Published:
        """Return what is served from now on; the first time all of it.

        Parameters
        ----------
        champion, task
            Its name, and what is predicted.
        own, others
            What the champion and the arms publish: flushed where this is `fresh`.
        """
        published = [own, *(each for _, each in others)]
        if self.fresh:
            published = [replace(each, changed=None) for each in published]
            self.fresh = False
        if not self._named:
            return published[0]
        parts, shares = [each.spec for each in published], [(arm.name, arm.share) for arm, _ in others]
        new = len(parts) != len(self._parts) or any(
            one is not other for one, other in zip(parts, self._parts, strict=True)
        )
        if new or shares != self._arms:
            self._parts, self._arms = parts, shares
            self._spec = {
                "learner": NAME,
                "schema": SCHEMA,
                "task": task.value,
                "champion": champion,
                "arms": [list(each) for each in shares],
                "specs": parts,
            }
        return _joined(self._spec, published)


def _joined(spec: Json, parts: Sequence[Published]) -> Published:
    """Return several as one; where all of one has changed, all of it is said to."""
    arrays: dict[str, Array] = {}
    changed: dict[str, Sequence[tuple[int, int]]] = {}
    for number, part in enumerate(parts):
        arrays |= beneath(f"{number}/", part.arrays)
        own = part.changed
        if own is None:
            own = {name: [(0, array.size)] for name, array in part.arrays.items() if array.size}
        changed |= beneath(f"{number}/", own)
    return Published(spec, arrays, changed)


class ContestPredictor:
    """See :class:`models.learner.Predictor`; answers by the champion, or each row by whom its key belongs to.

    Parameters
    ----------
    task
        What is predicted.
    names
        Of the predictors: the champion's first.
    shares
        Of those beside the champion.
    predictors
        Over published arrays.
    """

    def __init__(
        self, task: Task, names: Sequence[str], shares: Sequence[float], predictors: Sequence[Predictor]
    ) -> None:
        self._task, self._names, self._predictors = task, tuple(names), predictors
        # Above each bound the next one's keys begin; whose place is len(shares) is the champion's.
        self._bounds = np.cumsum(shares)

    @classmethod
    def from_published(cls, spec: Json, arrays: Mapping[str, Array], load: LoadPredictor) -> Self:
        """Return a predictor over published arrays.

        Raises
        ------
        StateMismatch
        """
        check_spec(spec, NAME, SCHEMA)
        predictors = [load(part, under(f"{number}/", arrays)) for number, part in enumerate(spec["specs"])]
        names = [spec["champion"], *(name for name, _ in spec["arms"])]
        return cls(Task(spec["task"]), names, [share for _, share in spec["arms"]], predictors)

    def predict(self, features: Features) -> Predictions:
        """See :class:`models.learner.Predictor`: the champion's answers to all rows."""
        return self._predictors[0].predict(features)

    def predict_by(self, features: Features, keys: Keys) -> Predictions:
        """Return answers, each row's by whom its key, uint64, shape (rows,), belongs to, and who that was."""
        shares = keys.astype(np.float64) / 2.0**64
        places = (np.searchsorted(self._bounds, shares, side="right") + 1) % (len(self._bounds) + 1)
        answers = {
            int(place): self._predictors[place].predict(features.take(np.flatnonzero(places == place)))
            for place in np.unique(places)
        }
        names = tuple(self._names[place] for place in places.tolist())
        found: Predictions = next(iter(answers.values())) if len(answers) == 1 else self._together(places, answers)
        return replace(found, contenders=names)

    def _together(self, places: NDArray[np.intp], answers: Mapping[int, Predictions]) -> Predictions:
        """Return several's answers in the order of the rows, with all classes that any of them knows."""
        if self._task is Task.REGRESSION:
            values = np.zeros(len(places))
            for place, found in answers.items():
                values[places == place] = found.values
            return Predictions(values=values)
        # 1, 1.0 and true are one key of a dictionary, and only one of them is ever a class of a model.
        known: dict[Label, Any] = {label: None for found in answers.values() for label in found.classes}
        columns = {label: column for column, label in enumerate(known)}
        probabilities = np.zeros((len(places), len(columns)), np.float32)
        for place, found in answers.items():
            if found.probabilities is not None and found.classes:
                rows = np.flatnonzero(places == place)
                there = np.array([columns[label] for label in found.classes])
                probabilities[np.ix_(rows, there)] = found.probabilities
        return Predictions(tuple(columns), probabilities)
