"""What the label join hands to the learner: rows of three origins, put into one order.

On the path it is the end of the label join (``join.py``): rows of the microbatch as they came, observations that met
their label, and observations whose label did not come.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Label
from service.joining.outcomes import EVICTED, Outcomes
from service.joining.packing import arranged, settled
from service.joining.table import Table
from service.joining.vocabulary import Vocabulary


class Source(IntEnum):
    """Where the features of a row are: in the microbatch, among what waits, or among what waited in vain."""

    ROWS = 0
    WAITING = 1
    LAPSED = 2


class Observed(NamedTuple):
    """Observations for which there is room: their places among those asked for, and the rows, without labels."""

    taken: NDArray[np.intp]
    piece: Examples


@dataclass(slots=True)
class _Part:
    """Rows of one source. Arrays have shape (rows,); `keys` says where they go."""

    keys: NDArray[np.int64]
    piece: Examples
    checksums: NDArray[np.uint64]


class Emission:
    """Collects the rows of one microbatch.

    Parameters
    ----------
    given
        The microbatch as it came.
    waiting, lapsed
        The tables of observations; asked before anything is removed from them.
    vocabulary
        What the codes of labels mean.
    """

    def __init__(self, given: Examples, waiting: Table, lapsed: Table, vocabulary: Vocabulary) -> None:
        self._given = given
        self._vocabulary = vocabulary
        self._tables = {Source.WAITING: waiting, Source.LAPSED: lapsed}
        self._parts: list[_Part] = []
        self._behind = len(given)
        self._without_room = 0

    def rows(self, rows: NDArray[np.intp], labelled: NDArray[np.bool_], checksums: NDArray[np.uint64]) -> None:
        """Hand on rows of the microbatch as they are; `labelled` and `checksums` are of all its rows."""
        if len(rows):
            self._add(rows, self._from_rows(rows, labelled[rows]), checksums[rows])

    def observed(self, source: Source, numbers: NDArray[np.int64], known: NDArray[np.void] | None = None) -> Observed:
        """Return observations, as far as there is room for them.

        Parameters
        ----------
        source, numbers
            Where they are: rows of the microbatch, or numbers in a table.
        known
            What the table says of them, of the kind :data:`service.joining.kinds.OBSERVATION`; None: it is asked.
        """
        if source is Source.ROWS:
            return Observed(np.arange(len(numbers)), self._from_rows(numbers, np.ones(len(numbers), np.bool_)))
        table = self._tables[source]
        taken, features, answered = table.features(numbers)
        self._without_room += len(numbers) - len(taken)
        rows = (table.rows(numbers) if known is None else known)[taken]
        # What was learned with a default once before, and is learned now, is no duplicate of itself.
        ids = np.zeros((len(rows), 2), np.uint64) if source is Source.LAPSED else np.ascontiguousarray(rows["id"])
        has_sources = self._given.sources is not None or bool(rows["source"].any())
        piece = Examples(
            features,
            [],
            rows["weight"],
            np.ascontiguousarray(rows["timestamp"]),
            ids,
            np.ascontiguousarray(rows["source"]) if has_sources else None,
            np.ones(len(rows), np.bool_),
            answered=answered,
        )
        return Observed(taken, piece)

    def joined(self, observed: Observed, at: NDArray[np.intp] | None, labels: NDArray[np.void]) -> None:
        """Hand on observations that met their labels.

        Parameters
        ----------
        observed
            From :meth:`observed`.
        at
            Rows of the microbatch with which they met; None: their time is up, and they go behind it.
        labels
            Of the kind :data:`service.joining.kinds.LABEL`.
        """
        taken, piece = observed
        keys = self._next(len(labels)) if at is None else at
        labels = labels[taken]
        texts = self._vocabulary.labels_of(labels)
        self._add(keys[taken], _with(piece, texts, piece.weights * labels["weight"]), labels["checksum"])

    def defaulted(self, observed: Observed, checksums: NDArray[np.uint64], label: Label, weight: float) -> None:
        """Hand on observations with a label that nobody sent; each weighs so many times what it would."""
        taken, piece = observed
        keys = self._next(len(checksums))
        weights = piece.weights * np.float32(weight)
        self._add(keys[taken], _with(piece, [label] * len(taken), weights), checksums[taken])

    def examples(self, outcomes: Outcomes) -> Examples:
        """Return all of it in order, and count what had no room."""
        outcomes.count(EVICTED, self._without_room)
        if not self._parts:
            return replace(Examples.empty(), checksums=np.empty(0, np.uint64))
        whole = Examples.concatenate([part.piece for part in self._parts])
        order = np.concatenate([part.keys for part in self._parts]).argsort(kind="stable")
        checksums = np.concatenate([part.checksums for part in self._parts])[order]
        if not (order == np.arange(len(order))).all():
            whole = whole.take(order)
        marks = whole.labelled
        return replace(
            whole,
            features=arranged(whole.features),
            labelled=None if marks is None or marks.all() else marks,
            answered=settled(whole.answered),
            checksums=checksums,
        )

    def _next(self, count: int) -> NDArray[np.int64]:
        self._behind += count
        return np.arange(self._behind - count, self._behind)

    def _add(self, keys: NDArray[np.int64], piece: Examples, checksums: NDArray[np.uint64]) -> None:
        self._parts.append(_Part(keys.astype(np.int64), piece, checksums))

    def _from_rows(self, rows: NDArray[np.intp], labelled: NDArray[np.bool_]) -> Examples:
        return replace(self._given.take(rows), labelled=labelled, featured=None)


def _with(piece: Examples, labels: list[Label], weights: NDArray[np.float32]) -> Examples:
    return replace(piece, labels=labels, weights=weights.astype(np.float32))
