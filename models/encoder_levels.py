"""Which numbers have few values, so that each value can be looked at by itself, as those of a category are.

Months, hours, codes and numbers of flights come as numbers; that 7 lies between 6 and 8 need not mean anything. How
many different values a number has had is estimated by linear counting (Whang, Vander-Zanden and Taylor, 1990): hashes
are marked in a line of 4,096 cells, and the share of cells left empty tells. It is judged three times, after 1,024,
4,096 and 16,384 values, or until it is plain that there are too many, and then no more: so a number that is found to be
continuous costs nothing from then on.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.encoder_layout import WATCHED
from models.encoder_plan import Places
from models.learner import Array
from models.moments import Matrix

JUDGED_AT = (1024, 4096, 16384)
"""Values after which it is judged."""

MOST, MOST_WHOLE = 64, 2048
"""Different values that still are few, if on the mean each was met :data:`OFTEN` times; and if all are whole numbers.

A measurement that is rounded comes with hundreds of values too, and its neighbours are alike.
"""

OFTEN = 8
CELLS = 4096

_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64 (Steele et al., 2014)


def hash_numbers(numbers: Matrix, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return hashes of numbers, int64, not negative: of the number and its column's seed, and of nothing else.

    Parameters
    ----------
    numbers
        float64, shape (rows, columns).
    seeds
        uint64, shape (columns,).
    """
    mixed = (numbers + 0.0).view(np.uint64) ^ seeds  # −0 + 0 is 0
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(29)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(32)
    return (mixed >> np.uint64(1)).astype(np.int64)


class Levels:
    """Counts the values of the first numbers of a stream. Owned by the trainer's encoder."""

    def __init__(self) -> None:
        self._cells: NDArray[np.uint8] = np.zeros((0, CELLS), np.uint8)
        self._whole: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._judged: NDArray[np.int64] = np.zeros(0, np.int64)
        self._settled = True

    def note(self, slots: Places, numbers: Matrix, counts: Matrix, candidates: NDArray[np.bool_]) -> list[int]:
        """Take in numbers and return the slots of those that are now found to have few values.

        Parameters
        ----------
        slots
            Of the columns of `numbers`.
        numbers
            Shape (rows, columns), NaN where missing.
        counts
            How many values each slot has had, these included; shape (slots known, or more,).
        candidates
            Which of the columns may have levels at all; shape (columns,).
        """
        self._grow(slots.stop if isinstance(slots, slice) else int(slots.max(initial=-1)) + 1)
        if self._settled:
            return []
        here = np.arange(len(counts))[slots]
        looked = np.flatnonzero(candidates & (here < WATCHED))
        looked = looked[self._judged[here[looked]] < len(JUDGED_AT)]
        if not len(looked):
            return []
        here, numbers = here[looked], np.ascontiguousarray(numbers[:, looked])
        there = ~np.isnan(numbers)
        cells = hash_numbers(numbers, np.zeros(1, np.uint64)) % CELLS
        rows, columns = np.nonzero(there)
        self._cells[here[columns], cells[rows, columns]] = 1
        self._whole[here] &= ((numbers == np.floor(numbers)) | ~there).all(0)
        due = here[counts[here] >= np.array(JUDGED_AT)[self._judged[here]]]
        found = [slot for slot in due.tolist() if self._judge(slot, float(counts[slot]))]
        self._settled = bool((self._judged >= len(JUDGED_AT)).all())
        return found

    def _judge(self, slot: int, count: float) -> bool:
        """Return whether a number has few values; if so, if it never will, or at last, it is judged no more."""
        empty = CELLS - int(self._cells[slot].sum())
        values = round(-CELLS * math.log(empty / CELLS)) if empty else CELLS
        most = MOST_WHOLE if self._whole[slot] else MOST
        few = 1 < values <= min(most, count / OFTEN)
        # There are ever more of them.
        self._judged[slot] = len(JUDGED_AT) if few or values > most else self._judged[slot] + 1
        return few

    def taken_over(self, slot: int) -> None:
        """Note that the place of a number has another one from now on."""
        if slot < len(self._judged):
            self._cells[slot] = 0
            self._whole[slot] = True
            self._judged[slot] = 0
            self._settled = False

    def _grow(self, slots: int) -> None:
        """Make room for some slots, as many as are counted at all."""
        missing = min(slots, WATCHED) - len(self._judged)
        if missing > 0:
            self._cells = np.pad(self._cells, ((0, missing), (0, 0)))
            self._whole = np.pad(self._whole, (0, missing), constant_values=True)
            self._judged = np.pad(self._judged, (0, missing))
            self._settled = False

    def state(self) -> dict[str, Array]:
        """Return what :meth:`restore` takes back, copied."""
        return {"cells": np.packbits(self._cells, axis=1), "whole": self._whole.copy(), "judged": self._judged.copy()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from."""
        self._judged, self._whole = arrays["judged"].copy(), arrays["whole"].copy()
        self._cells = np.unpackbits(arrays["cells"], axis=1)
        self._settled = bool((self._judged >= len(JUDGED_AT)).all())
