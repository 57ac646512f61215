"""Ids that do not wait any more, and how they ended: so that what comes again, or too late, is known as such.

On the path the label join asks here about ids that wait nowhere (``join.py``). The last ones are known; before that, an
observation that was sent twice opens again, and a second label waits for one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learner import Array
from service.joining.index import IdIndex, Ids

MOST = 1 << 18
"""Ids that are known; each takes 17 bytes of a checkpoint, and 70 of memory."""

_BLOCK = 1 << 16
"""Ids in one segment of a checkpoint: those that did not change are not written again."""


class PastIds:
    """The last ids that ended. Owned by one thread.

    Parameters
    ----------
    most
        How many.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen = 0
        self._ids: Ids = np.zeros((most, 2), np.uint64)
        self._ends: NDArray[np.int8] = np.zeros(most, np.int8)
        self._index = IdIndex()

    def find(self, ids: Ids) -> NDArray[np.int8]:
        """Return how each id ended; 0 for those that are not known."""
        numbers = self._index.find(ids)
        return np.where(numbers >= 0, self._ends[numbers], 0).astype(np.int8)

    def add(self, ids: Ids, end: int) -> None:
        """Note that ids, none of which is known and each of which occurs once, ended so; the oldest are forgotten."""
        if not len(ids):
            return
        ids = ids[-self._most :]
        places = (self._seen + np.arange(len(ids))) % self._most
        old = self._ids[places]
        self._index.remove(old[old.any(axis=1)])
        self._ids[places], self._ends[places] = ids, end
        self._index.add(ids, places)
        self._seen += len(ids)

    def change(self, ids: Ids, end: int) -> None:
        """Note that ids ended otherwise; those that are not known stay so."""
        numbers = self._index.find(ids)
        self._ends[numbers[numbers >= 0]] = end

    def state(self, name: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` takes back, copied."""
        held = min(self._seen, self._most)
        arrays: dict[str, Array] = {}
        for start in range(0, held, _BLOCK):
            stop = min(start + _BLOCK, held)
            arrays[f"{name}{start}/ids"] = self._ids[start:stop].copy()
            arrays[f"{name}{start}/ends"] = self._ends[start:stop].copy()
        return {"seen": self._seen, "most": self._most}, arrays

    def restore(self, name: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from, of as many ids as are kept here."""
        self._most, self._seen = int(meta["most"]), int(meta["seen"])
        self._ids, self._ends = np.zeros((self._most, 2), np.uint64), np.zeros(self._most, np.int8)
        held = min(self._seen, self._most)
        for start in range(0, held, _BLOCK):
            stop = min(start + _BLOCK, held)
            self._ids[start:stop] = arrays[f"{name}{start}/ids"]
            self._ends[start:stop] = arrays[f"{name}{start}/ends"]
        self._index = IdIndex()
        self._index.add(self._ids[:held], np.arange(held))
