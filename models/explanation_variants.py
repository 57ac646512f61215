"""Rows without one of their features, each in turn: what explanations are computed from (``explanation.py``).

A feature is what a client sent under one name: a vector with all its components, a bag of tokens with all its tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.examples import Features, Kind

WHOLE, NOTHING = -1, -2  # in the place of the part that is left out: none is, and all are


@dataclass(frozen=True, slots=True)
class Part:
    """One feature of some rows: columns of the matrix, or the name of a column of strings."""

    name: str
    kind: Kind
    columns: tuple[int, ...] = ()


class Variants:
    """Rows as they are, then all of them without any feature, then each without each feature that it has.

    Parameters
    ----------
    features
        Of the rows.

    Attributes
    ----------
    rows
        int64, shape (variants,); which row each is a variant of.
    """

    def __init__(self, features: Features) -> None:
        self._features = features
        self._parts = _parts_of(features)
        without, left_out = np.nonzero(_having(features, self._parts))
        every = np.arange(len(features))
        self.rows = np.concatenate([every, every, without])
        self._left_out = np.concatenate([np.full(len(every), WHOLE), np.full(len(every), NOTHING), left_out])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> int:
        """Columns that a variant takes."""
        features = self._features
        return len(features.keys) + len(features.categories) + len(features.tokens)

    def names(self) -> list[str]:
        """Return what the features are called that the variants lack, from the first one on that lacks one.

        A category is called by its value too, ``city=Oslo``.
        """
        count = 2 * len(self._features)
        found = []
        for row, place in zip(self.rows[count:].tolist(), self._left_out[count:].tolist(), strict=True):
            part = self._parts[place]
            is_category = part.kind is Kind.CATEGORY
            found.append(f"{part.name}={self._features.categories[part.name][row]}" if is_category else part.name)
        return found

    def take(self, start: int, stop: int) -> Features:
        """Return the features of variants `start` to `stop`."""
        picked = self._features.take(self.rows[start:stop])
        numbers = picked.numbers
        categories = {name: list(column) for name, column in picked.categories.items()}
        tokens = {name: list(column) for name, column in picked.tokens.items()}
        for row, place in enumerate(self._left_out[start:stop].tolist()):
            for part in self._parts if place == NOTHING else [] if place == WHOLE else [self._parts[place]]:
                if part.kind is Kind.CATEGORY:
                    categories[part.name][row] = None
                elif part.kind is Kind.TOKENS:
                    tokens[part.name][row] = None
                else:
                    numbers[row, list(part.columns)] = np.nan
        return Features(picked.rows, picked.keys, numbers, categories, tokens)


def count_features(features: Features) -> int:
    """Return how many features rows have, over all of them."""
    return int(_having(features, _parts_of(features)).sum())


def _parts_of(features: Features) -> list[Part]:
    columns: dict[tuple[str, Kind], list[int]] = {}
    for column, (name, kind) in enumerate(features.keys):
        whole = name.rpartition("[")[0] if kind is Kind.VECTOR else name
        columns.setdefault((whole, kind), []).append(column)
    numbers = [Part(name, kind, tuple(places)) for (name, kind), places in columns.items()]
    categories = [Part(name, Kind.CATEGORY) for name in features.categories]
    return [*numbers, *categories, *(Part(name, Kind.TOKENS) for name in features.tokens)]


def _having(features: Features, parts: Sequence[Part]) -> NDArray[np.bool_]:
    """Return which rows have which feature, bool, shape (rows, parts)."""
    has = np.zeros((len(features), len(parts)), np.bool_)
    for place, part in enumerate(parts):
        if part.columns:
            has[:, place] = ~np.isnan(features.numbers[:, list(part.columns)]).all(axis=1)
        else:
            strings = features.categories if part.kind is Kind.CATEGORY else features.tokens
            has[:, place] = [value is not None for value in strings[part.name]]
    return has
