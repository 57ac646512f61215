"""Where an id is: an open-addressing hash index over digests, all in arrays, asked about many ids in one call.

On the path it stands behind the tables of what waits (``table.py``). Digests are uniformly random, so the first word of
one, cut to the table's size, is its place, and the next free one after it where that is taken (linear probing, Knuth,
The Art of Computer Programming 3, section 6.4, algorithm L). At most half of the places are in use, so that a search
takes one or two steps. What is found depends on what was put in alone, never on where it came to lie: so the index is
no part of a checkpoint, but is made again.
"""

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint64]
"""Digests, shape (rows, 2)."""

NOWHERE = -1
"""In place of a number: the id is not here."""

_FREE, _GONE = -1, -2
_FEWEST = 1024  # places


class IdIndex:
    """Id → number. Owned by one thread."""

    def __init__(self) -> None:
        self._held = 0
        self._allot(_FEWEST)

    def __len__(self) -> int:
        return self._held

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._words.nbytes + self._more.nbytes + self._numbers.nbytes

    def find(self, ids: Ids) -> NDArray[np.int64]:
        """Return the number of each id, :data:`NOWHERE` where it is not here."""
        found = np.full(len(ids), NOWHERE, np.int64)
        if not self._held:
            return found
        rows = np.arange(len(ids))
        places = self._first_places(ids)
        while len(rows):
            numbers = self._numbers[places]
            same = self._are(places, ids[rows]) & (numbers >= 0)
            found[rows[same]] = numbers[same]
            on = ~same & (numbers != _FREE)
            rows, places = rows[on], (places[on] + 1) & self._mask
        return found

    def add(self, ids: Ids, numbers: NDArray[np.int64]) -> None:
        """Take in ids, each of which is new and occurs once, with their numbers, which are at least 0."""
        if 2 * (self._used + len(ids)) > len(self._numbers):
            self._grow(len(ids))
        self._held += len(ids)
        rows = np.arange(len(ids))
        places = self._first_places(ids)
        while len(rows):
            before = self._numbers[places]
            # The place of one that is gone serves as well, for none of the ids is here already.
            free = before < 0
            taken = places[free]
            # Where several want one place, the last one has it, and the others see so and go on.
            self._numbers[taken] = numbers[rows[free]]
            has = np.zeros(len(rows), np.bool_)
            has[free] = self._numbers[taken] == numbers[rows[free]]
            self._words[places[has]] = ids[rows[has], 0]
            self._more[places[has]] = ids[rows[has], 1]
            self._used += int((before[has] == _FREE).sum())
            rows, places = rows[~has], (places[~has] + 1) & self._mask

    def remove(self, ids: Ids) -> None:
        """Forget ids, each of which is here and occurs once."""
        rows = np.arange(len(ids))
        places = self._first_places(ids)
        while len(rows):
            same = self._are(places, ids[rows]) & (self._numbers[places] >= 0)
            self._numbers[places[same]] = _GONE
            rows, places = rows[~same], (places[~same] + 1) & self._mask
        self._held -= len(ids)

    def _first_places(self, ids: Ids) -> NDArray[np.int64]:
        return (ids[:, 0] & np.uint64(self._mask)).astype(np.int64)

    def _are(self, places: NDArray[np.int64], ids: Ids) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = (self._words[places] == ids[:, 0]) & (self._more[places] == ids[:, 1])
        return same

    def _allot(self, places: int) -> None:
        self._mask = places - 1
        self._used = 0
        self._words: NDArray[np.uint64] = np.zeros(places, np.uint64)
        self._more: NDArray[np.uint64] = np.zeros(places, np.uint64)
        self._numbers: NDArray[np.int64] = np.full(places, _FREE, np.int64)

    def _grow(self, more: int) -> None:
        """Make room for so many more, and let go of what is gone."""
        here = self._numbers >= 0
        ids, numbers = np.stack([self._words[here], self._more[here]], axis=1), self._numbers[here]
        places = _FEWEST
        # A quarter in use after growing, so that the next time is far.
        while places < 3 * (len(ids) + more):
            places *= 2
        self._allot(places)
        self._held -= len(ids)
        self.add(ids, numbers)
