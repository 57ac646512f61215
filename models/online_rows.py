"""Rows as River takes them: columns of some examples → one sparse dictionary a row.

The first numbers keep places of their own, the others share some by their names' hashes, and all are standardised by
River's running scaler; categories, tokens and the absence of a number are hashed into a fixed number of places. So no
stream can make the model grow without bound. Nothing here
depends on the order of columns, nor on columns in which a row has nothing: a replay that cuts the log at other places
than the first time must make the very same rows.
"""

import math
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from river.preprocessing import FeatureHasher, StandardScaler

from models.examples import FeatureKey, Features, Kind
from models.moments import OUTLIER, WARM

Row = dict[str | int, float]

HASHED = 2**16
CLIP = 4.0  # standard deviations; what lies beyond says no more than "far out"
LIMIT = 1e100  # numbers beyond it count as it: their squares can still be summed
OWN = 256  # numbers that have a place of their own
SHARED = 4096  # places of all others
WATCHED = 256  # with more numeric features than this, absence is the rule and no news


class RowEncoder:
    """Learns how numbers are distributed, and makes rows.

    Parameters
    ----------
    seed
        Of the hashing.
    """

    def __init__(self, seed: int) -> None:
        # Any: River's methods carry no types.
        self._scaler: Any = StandardScaler()
        self._hasher: Any = FeatureHasher(HASHED, seed=seed)

    def learn(self, numbers: dict[str, float]) -> None:
        """Take the numbers of one row into the running means and variances."""
        placed = self._placed(numbers, OWN - len(self._scaler.counts))
        self._scaler.learn_one({name: self._bounded(name, value) for name, value in placed.items()})

    def _bounded(self, name: str, value: float) -> float:
        """Return a value, or a bound on it, so that a single one cannot stretch the scale at will."""
        scaler = self._scaler
        if scaler.counts[name] < WARM:
            return value
        return bounded(value, scaler.means[name], math.sqrt(scaler.vars[name]))

    def _placed(self, numbers: dict[str, float], room: int = 0) -> dict[str, float]:
        """Return numbers by their places, where so many more may have one of their own."""
        known = self._scaler.counts
        if numbers.keys() <= known.keys():
            return numbers
        placed = {}
        for name, value in numbers.items():
            new = name not in known
            placed[_shared(name) if new and room <= 0 else name] = value
            room -= new
        return placed

    def encode(self, numbers: dict[str, float], items: dict[str, int]) -> Row:
        """Return one row: known numbers standardised and clipped, and whatever is hashed."""
        known = self._scaler.counts
        numbers = self._placed(numbers)
        if not numbers.keys() <= known.keys():
            numbers = {name: value for name, value in numbers.items() if name in known}
        if len(numbers) < len(known) <= WATCHED:
            items = items | {f"missing\0{name}": 1 for name in known if name not in numbers}
        scaled = self._scaler.transform_one(numbers)
        row: Row = {name: min(max(value, -CLIP), CLIP) for name, value in scaled.items()}
        if items:
            row.update(self._hasher.transform_one(items))
        return row


def bounded(value: float, mean: float, deviation: float) -> float:
    """Return `value`, or a value that is ``OUTLIER`` deviations from the mean, if it is farther out than that."""
    reach = OUTLIER * deviation or math.inf
    return min(max(value, mean - reach), mean + reach)


def _shared(name: str) -> str:
    """Return the place of a number that has none of its own; some other may have the same."""
    return f"shared\0{crc32(name.encode('utf-8', 'surrogatepass')) % SHARED}"


def split_rows(features: Features) -> Iterator[tuple[dict[str, float], dict[str, int]]]:
    """Yield, for each row, its numbers by name, and what is to be hashed with how often it occurs."""
    order = sorted(range(len(features.keys)), key=features.keys.__getitem__)
    names = [f"{features.keys[column].kind}\0{features.keys[column].name}" for column in order]
    matrix = np.clip(features.numbers[:, order], -LIMIT, LIMIT)
    gaps: list[bool] = np.asarray(np.isnan(matrix).any(axis=1)).tolist()
    for row, (values, gap) in enumerate(zip(matrix.tolist(), gaps, strict=True)):
        pairs = zip(names, values, strict=True)
        numbers = {name: value for name, value in pairs if not math.isnan(value)} if gap else dict(pairs)
        yield numbers, _items(features, row)


def _items(features: Features, row: int) -> dict[str, int]:
    """Return what is to be hashed of one row: each category, and each token with its count."""
    items: dict[str, int] = {}
    for name in sorted(features.categories):
        category = features.categories[name][row]
        if category is not None:
            items[f"category\0{name}\0{category}"] = 1
    for name in sorted(features.tokens):
        for token in features.tokens[name][row] or ():
            item = f"tokens\0{name}\0{token}"
            items[item] = items.get(item, 0) + 1
    return items


def keys_present(features: Features, rows: NDArray[np.bool_]) -> list[FeatureKey]:
    """Return, sorted, the features that have a value in one of the rows that a mask selects."""
    some: list[bool] = np.asarray((~np.isnan(features.numbers[rows])).any(axis=0)).tolist()
    keys = [key for key, present in zip(features.keys, some, strict=True) if present]
    picked = np.flatnonzero(rows).tolist()
    for kind, columns in ((Kind.CATEGORY, features.categories), (Kind.TOKENS, features.tokens)):
        keys += [
            FeatureKey(name, kind) for name, column in columns.items() if any(column[r] is not None for r in picked)
        ]
    return sorted(keys)
