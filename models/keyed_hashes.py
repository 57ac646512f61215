"""Which key a row has: the value of one feature as a number that stays the same for ever. For ``keyed.py``.

A key is a category's value, hashed as the encoder hashes it, or a number's or boolean's. Where an event has the name as
a category and as a number, the category counts. Lists, vectors and dates are no keys.
"""

import numpy as np
from numpy.typing import NDArray

from models.examples import FeatureKey, Kind
from models.features import Prepared
from models.hashing import MISSING, hash_value

NO_KEY = MISSING
"""Stands in for the hash of a key where a row has none; hashes are above 0."""

_POSITIVE = np.uint64(1)  # bits that a hash is shifted by, so that it is no negative number


def key_hashes(prepared: Prepared, name: str) -> NDArray[np.int64]:
    """Return the hashes of the keys of some rows, int64, shape (rows,): :data:`NO_KEY` where a row has none.

    Parameters
    ----------
    prepared
        Their features.
    name
        Of the feature that is the key.
    """
    found = np.full(prepared.rows, NO_KEY, np.int64)
    for kind in (Kind.BOOLEAN, Kind.NUMBER):
        key = FeatureKey(name, kind)
        if key in prepared.keys:
            values = prepared.numbers[:, prepared.keys.index(key)]
            found = np.where(np.isnan(values), found, _hashed(values, hash_value(key, "key")))
    bag = prepared.bags.get(FeatureKey(name, Kind.CATEGORY))
    if bag is not None:
        found[bag.rows] = np.maximum(bag.hashes, 1)
    return found


def _hashed(values: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return hashes of numbers, whose bits are mixed by the finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    mixed = (values + 0.0).view(np.uint64) ^ np.uint64(seed)  # + 0.0 makes 0 of -0, which is the same key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.maximum((mixed >> _POSITIVE).astype(np.int64), 1)
