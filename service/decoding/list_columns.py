"""Columns of lists: of strings, which are bags of tokens, and of numbers, which are vectors."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.examples import Kind

MAXIMUM_TEXT = 65_536
"""Characters of a category or a token. A text longer than that is a document, and belongs elsewhere."""

MAXIMUM_FEATURES = 10_000
"""Features of one event; components of vectors and tokens count one each."""

_NUMBERS = frozenset({int, float})
_TEXTS = frozenset({str})
_LARGEST = float(np.finfo(np.float64).max)

Lists = list[list[Any] | None]


def split_lists(
    values: Sequence[list[Any] | None], expected: Kind | None
) -> tuple[Lists | None, Lists | None, list[tuple[int, str]]]:
    """Return the vectors, the bags of tokens (None where there is none), and rows with what is wrong with them.

    Parameters
    ----------
    values
        One list a row, or None; an empty list is missing.
    expected
        The only kind that is accepted, if any.
    """
    vectors: Lists = [None] * len(values)
    tokens: Lists = [None] * len(values)
    problems: list[tuple[int, str]] = []
    for row, items in enumerate(values):
        if not items:
            continue
        kind, problem = _examine(items)
        if problem is None and expected is not None and kind is not expected:
            problem = f"declared as {expected}, but it is something else"
        if problem is not None:
            problems.append((row, problem))
        else:
            (vectors if kind is Kind.VECTOR else tokens)[row] = items
    return (vectors if any(vectors) else None), (tokens if any(tokens) else None), problems


def _examine(items: list[Any]) -> tuple[Kind, str | None]:
    """Return the kind of a list that is not empty, and what is wrong with it."""
    types = set(map(type, items))
    if len(items) > MAXIMUM_FEATURES:
        # Found out before the longest vector of any row decides how many columns all rows have.
        kind = Kind.TOKENS if types <= _TEXTS else Kind.VECTOR
        return kind, f"a list of more than {MAXIMUM_FEATURES} items"
    if types <= _TEXTS:
        long = max(map(len, items)) > MAXIMUM_TEXT
        return Kind.TOKENS, f"a token of more than {MAXIMUM_TEXT} characters" if long else None
    if types <= _NUMBERS:
        # Python compares integers of any size with floats exactly.
        usable = min(items) >= -_LARGEST and max(items) <= _LARGEST
        return Kind.VECTOR, None if usable else "a component is too large a number"
    return Kind.VECTOR, "a list must hold only numbers, or only texts"


def stack_vectors(vectors: Lists) -> NDArray[np.float64]:
    """Return float64 of shape (rows, longest length); NaN where a vector is missing or shorter.

    At least one vector must be there.
    """
    lengths = [len(vector or ()) for vector in vectors]
    longest = max(lengths)
    if min(lengths) == longest:
        return np.array(vectors, dtype=np.float64)
    stacked = np.full((len(vectors), longest), np.nan)
    present = np.arange(longest) < np.array(lengths)[:, None]
    stacked[present] = np.fromiter(chain.from_iterable(filter(None, vectors)), np.float64)
    return stacked
