"""What was answered about some rows when they were asked, and by which version: :class:`Answered`.

On the path this stands beside the labels, in :class:`models.examples.Examples`: a prediction that is remembered comes
back through the log with its features (an observation), waits for its label, and is then scored by what was really
answered instead of by what the learner would answer now (``evaluation.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

UNANSWERED = -1
"""In place of a version: nothing was answered, or it is not known what."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered about some rows.

    Attributes
    ----------
    versions
        int64, shape (rows,); the version of the parameters that answered, from 0 on. :data:`UNANSWERED` where nothing
        was answered: the row's probabilities are then all 0, and its value is NaN.
    classes
        What the columns of `probabilities` stand for, by the names that classes have as keys of a JSON object (1 is
        ``"1"``, true is ``"true"``); none for regression. A learner knows which of its classes has which name
        (:func:`class_name`).
    probabilities
        float32, shape (rows, len(classes)); at least 0, at most 1. A class that an answer did not name has 0.
    values
        float64, shape (rows,); the number that was answered, finite. NaN where none was.
    current
        The newest version when the rows are learned, for whoever asks how old the answers are: said by whoever has
        them learned, and not kept beyond that. :data:`UNANSWERED` where nobody has said.
    """

    versions: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    values: NDArray[np.float64]
    current: int = UNANSWERED

    @classmethod
    def nothing(cls, rows: int) -> Self:
        """Return what stands for `rows` rows of which nothing was answered."""
        versions = np.full(rows, UNANSWERED, np.int64)
        return cls(versions, (), np.zeros((rows, 0), np.float32), np.full(rows, np.nan))

    def __len__(self) -> int:
        return len(self.versions)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was answered about any of the rows."""
        return bool((self.versions == UNANSWERED).all())

    def take(self, rows: NDArray[np.intp] | slice) -> Self:
        """Return what was answered about the rows that an array of indices or a slice selects (as views)."""
        return replace(
            self, versions=self.versions[rows], probabilities=self.probabilities[rows], values=self.values[rows]
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join rows in order; a class that a part does not know has probability 0 there."""
        if len(parts) == 1:
            return parts[0]
        classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
        columns = [part.columns_of(classes) for part in parts]
        return cls(
            np.concatenate([part.versions for part in parts] or [np.empty(0, np.int64)]),
            classes,
            np.concatenate(columns or [np.empty((0, 0), np.float32)]),
            np.concatenate([part.values for part in parts] or [np.empty(0)]),
        )

    def columns_of(self, classes: Sequence[str]) -> NDArray[np.float32]:
        """Return the probabilities of `classes`, float32, shape (rows, len(classes)); 0 for those it does not know."""
        if tuple(classes) == self.classes:
            return self.probabilities
        found = np.zeros((len(self), len(classes)), np.float32)
        place_of = {name: place for place, name in enumerate(self.classes)}
        pairs = [(place_of[name], column) for column, name in enumerate(classes) if name in place_of]
        if pairs:
            places, columns = map(list, zip(*pairs, strict=True))
            found[:, columns] = self.probabilities[:, places]
        return found


def class_name(label: str | float | bool) -> str:
    """Return a class as the key of a JSON object: booleans as JSON writes them."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def join_answered(parts: Sequence[Answered | None], rows: Sequence[int]) -> Answered | None:
    """Join what was answered about pieces of so many rows each, where some say nothing; None where all do.

    Parameters
    ----------
    parts, rows
        Of the same length.
    """
    if all(part is None for part in parts):
        return None
    return Answered.concatenate(
        [Answered.nothing(count) if part is None else part for part, count in zip(parts, rows, strict=True)]
    )
