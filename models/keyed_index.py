"""Where a key's parameters are: a table of hashes that a trainer changes and serving processes map. For ``keyed.py``.

A hash belongs into one bucket of sixteen places and may be in any of them, so finding many is one comparison, nothing
has to be moved when one goes, and whoever reads while it changes reads no further than that. There are at least twice
as many places as keys: a bucket that is full (one of thousands, if any) loses the key that was used least recently.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_layout import power_of_two
from models.learner import Array

WAYS = 16
"""Places of a bucket."""

NOWHERE = -1
"""Slot of a key that is not there."""

FREE = 0  # hash of a place that nobody has


class Place(NamedTuple):
    """A place of the table: its bucket, and which of the bucket's it is."""

    bucket: int
    way: int


class KeyIndex:
    """Hash → slot.

    Parameters
    ----------
    most
        Keys that there will ever be room for at once.

    Attributes
    ----------
    hashes
        int64, shape (buckets, WAYS).
    slots
        int32, of the same shape.
    """

    def __init__(self, most: int) -> None:
        buckets = power_of_two(2 * most, WAYS) // WAYS
        self.hashes = np.full((buckets, WAYS), FREE, np.int64)
        self.slots = np.zeros((buckets, WAYS), np.int32)

    def find(self, hashes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slots of some hashes, int64, shape (rows,): :data:`NOWHERE` where a key is not there."""
        buckets = hashes & (len(self.hashes) - 1)
        same = self.hashes[buckets] == hashes[:, None]
        ways = same.argmax(1)
        rows = np.arange(len(hashes))
        return np.where(same[rows, ways], self.slots[buckets, ways].astype(np.int64), NOWHERE)

    def bucket(self, key: int) -> NDArray[np.int64]:
        """Return the hashes of the bucket that a hash belongs into."""
        found: NDArray[np.int64] = self.hashes[key & (len(self.hashes) - 1)]
        return found

    def insert(self, key: int, slot: int) -> Place | None:
        """Put a hash into its bucket; return its place, None where the bucket is full."""
        free = np.flatnonzero(self.bucket(key) == FREE)
        if not len(free):
            return None
        place = Place(key & (len(self.hashes) - 1), int(free[0]))
        self.slots[place] = slot
        self.hashes[place] = key
        return place

    def remove(self, key: int) -> Place:
        """Take a hash that is there out of its bucket; return the place that it had."""
        place = Place(key & (len(self.hashes) - 1), int((self.bucket(key) == key).argmax()))
        self.hashes[place] = FREE
        return place

    def arrays(self) -> dict[str, Array]:
        """Return what it is."""
        return {"hashes": self.hashes, "slots": self.slots}

    def attach(self, arrays: Mapping[str, Array]) -> None:
        """Find in these arrays, which may be mapped from a file that somebody is overwriting."""
        self.hashes, self.slots = arrays["hashes"], arrays["slots"]
