"""Strings → hashed values: categories, tokens, the words of a text, and what a date says.

What becomes of a string depends on that string alone, so that the same row is encoded alike wherever it comes from. An
ISO 8601 date becomes numbers (where in the day, the week and the year it lies, by the clock of the zone that it names,
and when it was) and two categories (hour and weekday). A string of several words counts as a category and as its words.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.examples import FeatureKey, Kind
from models.hashing import CACHED, MISSING, HashCache, hash_value

DATE = -2
"""Stands in for the hash of a string that is a date."""

TEXT_BIT = 1 << 62
"""Marks hashes of strings that have words of their own."""

DRAWN = " → "
"""Stands, in the name of what is drawn from a string, between the feature's own name and what it is."""

Cache = TypeVar("Cache", bound=HashCache)

CACHES = 1024  # features whose hashes are remembered
LEAST_CACHED = 64  # hashes of one feature, where there are many; the first features have the more
WORDS = 512  # of one text or bag of tokens; what comes after them is left out
_WORD = re.compile(r"\w+")
_DATE_PARTS = ("day sine", "day cosine", "week sine", "week cosine", "year sine", "year cosine", "instant")


class Bag(NamedTuple):
    """Hashed values of one feature, in the order of the rows.

    Attributes
    ----------
    rows
        int64, shape (values,); the row of each.
    hashes
        int64, shape (values,).
    amounts
        float32, shape (values,); squares sum to 1 in each row.
    """

    rows: NDArray[np.int64]
    hashes: NDArray[np.int64]
    amounts: NDArray[np.float32]


class StringCodes(HashCache):
    """Value → its hash, with :data:`TEXT_BIT` where it has words; :data:`DATE`, or MISSING."""

    def __missing__(self, value: str | None) -> int:
        if value is None:
            return MISSING
        if parse_date(value) is not None:
            return DATE
        code = hash_value(self._key, value) >> 1 | (TEXT_BIT if " " in value else 0)
        self.remember(value, code)
        return code


def parse_date(value: str) -> datetime | None:
    """Return the instant that an ISO 8601 date with a four-digit year names (UTC where it names no zone)."""
    if len(value) < 10 or value[4] != "-" or value[7] != "-":
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def date_keys(name: str) -> list[FeatureKey]:
    """Return the identities of the numbers that are drawn from a date; no number of a user's is of this kind."""
    return [FeatureKey(f"{name}{DRAWN}{part}", Kind.CATEGORY) for part in _DATE_PARTS]


def date_numbers(instant: datetime) -> list[float]:
    """Return the numbers that :func:`date_keys` names."""
    day = (instant.hour + (instant.minute + instant.second / 60) / 60) / 24
    turns = (day, (instant.weekday() + day) / 7, instant.timetuple().tm_yday / 366)
    # Rounded, so that what is always 0 is always the same.
    waves = [round(wave(2 * math.pi * turn), 9) for turn in turns for wave in (math.sin, math.cos)]
    return [*waves, instant.timestamp()]


def origin(key: FeatureKey) -> FeatureKey:
    """Return the feature that one was drawn from, or itself."""
    name, drawn, _ = key.name.rpartition(DRAWN)
    return FeatureKey(name, Kind.CATEGORY) if drawn else key


def _remembered(caches: dict[FeatureKey, Cache], key: FeatureKey, make: Callable[[FeatureKey, int], Cache]) -> Cache:
    """Return a feature's cache; where there are too many, as when each request names other features, begin anew."""
    cache = caches.get(key)
    if cache is None:
        if len(caches) >= CACHES:
            caches.clear()
        limit = max(8 * CACHED // (len(caches) + 8), LEAST_CACHED)
        cache = caches.setdefault(key, make(key, limit))
    return cache


class StringReader:
    """Reads columns of strings into bags; remembers hashes, and nothing that an answer would depend on."""

    def __init__(self) -> None:
        self._codes: dict[FeatureKey, StringCodes] = {}
        self._hashes: dict[FeatureKey, HashCache] = {}

    def category(
        self, name: str, column: Sequence[str | None]
    ) -> tuple[dict[FeatureKey, Bag], NDArray[np.float64] | None]:
        """Return the bags that a column of categories makes, and, if there is a date in it, its numbers.

        The numbers are float64, shape (rows, parts of a date), NaN where the row has no date.
        """
        key = FeatureKey(name, Kind.CATEGORY)
        codes = _remembered(self._codes, key, StringCodes)
        found = np.fromiter(map(codes.__getitem__, column), np.int64, len(column))
        lowest, highest = (int(found.min()), int(found.max())) if len(found) else (0, 0)
        bags: dict[FeatureKey, Bag] = {}
        numbers = self._dates(name, column, found, bags) if lowest == DATE else None
        rows = np.arange(len(found)) if lowest >= 0 else np.flatnonzero(found >= 0)
        if len(rows):
            bags[key] = Bag(rows, found[rows] & (TEXT_BIT - 1), np.ones(len(rows), np.float32))
        if highest >= TEXT_BIT:
            texts = [
                _WORD.findall(value.lower()) if code >= TEXT_BIT and value else None
                for value, code in zip(column, found.tolist(), strict=True)
            ]
            bags.update(self.tokens(f"{name}{DRAWN}words", texts))
        return bags, numbers

    def _dates(
        self, name: str, column: Sequence[str | None], codes: NDArray[np.int64], bags: dict[FeatureKey, Bag]
    ) -> NDArray[np.float64]:
        """Return the numbers of a column's dates, and add their categories to `bags`."""
        rows = np.flatnonzero(codes == DATE)
        instants = [instant for row in rows.tolist() if (instant := parse_date(column[row] or "")) is not None]
        numbers = np.full((len(column), len(_DATE_PARTS)), np.nan)
        numbers[rows] = [date_numbers(instant) for instant in instants]
        for part, values in (
            ("hour", [str(i.hour) for i in instants]),
            ("weekday", [str(i.weekday()) for i in instants]),
        ):
            key = FeatureKey(f"{name}{DRAWN}{part}", Kind.CATEGORY)
            bags[key] = Bag(rows, self._hashed(key, values), np.ones(len(rows), np.float32))
        return numbers

    def tokens(self, name: str, column: Sequence[Sequence[str] | None]) -> dict[FeatureKey, Bag]:
        """Return the bag that a column of tokens makes: none if there is no token in it."""
        key = FeatureKey(name, Kind.TOKENS)
        counts = np.fromiter((min(len(value), WORDS) if value else 0 for value in column), np.int64, len(column))
        hashes = self._hashed(key, [token for value in column if value for token in value[:WORDS]])
        if not len(hashes):
            return {}
        rows = np.repeat(np.arange(len(counts)), counts)
        return {key: Bag(rows, hashes, (1 / np.sqrt(counts[rows])).astype(np.float32))}

    def _hashed(self, key: FeatureKey, values: Sequence[str]) -> NDArray[np.int64]:
        """Return the hashes of strings that are taken as they are."""
        hashes = _remembered(self._hashes, key, HashCache)
        return np.fromiter(map(hashes.__getitem__, values), np.int64, len(values)) & (TEXT_BIT - 1)

    def read(
        self, categories: Mapping[str, Sequence[str | None]], tokens: Mapping[str, Sequence[Sequence[str] | None]]
    ) -> tuple[dict[FeatureKey, Bag], dict[FeatureKey, NDArray[np.float64]]]:
        """Return all bags in the order of their keys, and numbers drawn from dates: key → float64, shape (rows,)."""
        bags: dict[FeatureKey, Bag] = {}
        numbers: dict[FeatureKey, NDArray[np.float64]] = {}
        for name, column in categories.items():
            read, dates = self.category(name, column)
            bags.update(read)
            if dates is not None:
                numbers.update(zip(date_keys(name), dates.T, strict=True))
        for name, bag_column in tokens.items():
            bags.update(self.tokens(name, bag_column))
        return dict(sorted(bags.items())), numbers
