"""Columns as peers take them: dates as numbers, rows as dictionaries, text as words."""

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from models.examples import Examples, FeatureKey, Features, Kind

Row = dict[str, float | str]

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_WORD = re.compile(r"\w+")
_PARTS = ("seconds", "hour", "weekday")


def readable(examples: Examples) -> Examples:
    """Return examples in which each column of dates has become seconds, hour of the day and day of the week.

    No peer can read a date, and whoever uses one would write these lines. Without them it would be a category with a
    value of its own for each row.
    """
    features = examples.features
    dates = {name: column for name, column in features.categories.items() if _DATE.match(str(column[0]))}
    columns = [_parts(column) for column in dates.values()]
    keys = [FeatureKey(f"{name}.{part}", Kind.NUMBER) for name in dates for part in _PARTS]
    made = Features(
        len(features),
        (*features.keys, *keys),
        np.ascontiguousarray(np.hstack([features.numbers, *columns])),
        {name: column for name, column in features.categories.items() if name not in dates},
        features.tokens,
    )
    return Examples(made, examples.labels, examples.weights, examples.timestamps)


def _parts(column: Sequence[str | None]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return shape (rows, 3): what a date says; NaN where there is none."""
    parts = np.full((len(column), len(_PARTS)), np.nan)
    for row, text in enumerate(column):
        if text is not None:
            moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
            parts[row] = moment.timestamp(), moment.hour + moment.minute / 60, moment.weekday()
    return parts


def rows_of(features: Features, *, text: bool = False) -> list[Row]:
    """Return one dictionary a row, without what is missing.

    Parameters
    ----------
    features
        Numbers and categories.
    text
        Whether the categories are texts: then a row is how often each of its words occurs.
    """
    if text:
        return [_words(texts) for texts in zip(*features.categories.values(), strict=True)]
    names = [key.name for key in features.keys]
    rows: list[Row] = [
        {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}
        for values in features.numbers.tolist()
    ]
    for name, column in features.categories.items():
        for row, value in zip(rows, column, strict=True):
            if value is not None:
                row[name] = value
    return rows


def _words(texts: Sequence[str | None]) -> Row:
    words = Counter(word for text in texts for word in _WORD.findall((text or "").lower()))
    return {f"word={word}": float(count) for word, count in words.items()}


class Latest:
    """Remembers what was made of the last block: it is answered, and then learned."""

    def __init__(self) -> None:
        self._features: Features | None = None
        self._rows: list[Row] = []

    def rows(self, features: Features, *, text: bool) -> list[Row]:
        """Return :func:`rows_of`, made once for a block."""
        if self._features is not features:
            self._features, self._rows = features, rows_of(features, text=text)
        return self._rows
