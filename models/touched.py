"""Which rows of a table changed since somebody last asked: so that publishing costs what changed, not what there is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranges = Sequence[tuple[int, int]]

GRAIN = 64  # rows that are published together, as a rule
MOST_RANGES = 256  # beyond which the whole table is published
MOST_NOTES = 1024  # beyond which nobody seems to be asking, and everything counts as changed


class Touched:
    """Notes of rows that changed.

    Parameters
    ----------
    grain
        Rows that are published together.
    """

    def __init__(self, grain: int = GRAIN) -> None:
        self._grain = grain
        self._notes: list[NDArray[np.int64]] = []
        self._all = False

    def add(self, rows: NDArray[np.int64]) -> None:
        """Note that rows changed."""
        if not len(rows) or self._all:
            return
        self._notes.append(rows)
        if len(self._notes) > MOST_NOTES:
            self.add_all()

    def add_all(self) -> None:
        """Note that any row may have changed."""
        self._notes, self._all = [], True

    def take(self, shape: tuple[int, ...]) -> Ranges:
        """Return the ranges of flat elements that cover all that changed in a table of this shape; start anew."""
        notes, everything = self._notes, self._all
        self._notes, self._all = [], False
        whole = [(0, shape[0] * shape[1])]
        if everything or not notes:
            return whole if everything else []
        grains = np.unique(np.concatenate(notes) % shape[0] // self._grain)
        if len(grains) > MOST_RANGES:
            return whole
        starts = grains[np.diff(grains, prepend=-2) > 1].tolist()
        stops = (grains[np.diff(grains, append=grains[-1] + 2) > 1] + 1).tolist()
        size = self._grain * shape[1]
        return [(start * size, min(stop * size, whole[0][1])) for start, stop in zip(starts, stops, strict=True)]
