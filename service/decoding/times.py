"""Event times: what a ``timestamp`` may be, as columns."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MILLISECONDS_FROM = 1e11
"""A number from here on counts milliseconds: 1e11 s is the year 5138, 1e11 ms is March 1973."""

_TOO_LATE = 1e14
"""As milliseconds, the year 5138 again: beyond, a number is neither."""

_LONGEST = 64
"""Characters of an ISO 8601 timestamp."""


def event_times(values: Sequence[Any]) -> tuple[NDArray[np.float64], list[int]]:
    """Return seconds since the epoch, NaN where there is no timestamp; and the rows whose timestamp is none.

    Parameters
    ----------
    values
        Numbers are seconds since the epoch, or, from 1e11 on, milliseconds. Texts are ISO 8601; without a zone they are
        UTC. None is missing.
    """
    types = set(map(type, values)) - {NoneType}
    if not types:
        return np.full(len(values), np.nan), []
    if types == {float}:
        numbers = np.array(values, np.float64)
        bad = np.abs(numbers) >= _TOO_LATE
    else:
        seconds = [_number_or_nan(value) for value in values]
        numbers = np.array(seconds, np.float64)
        bad = np.abs(numbers) >= _TOO_LATE
        bad |= np.isnan(numbers) & np.array([value is not None for value in values])
    numbers = np.where(np.abs(numbers) >= _MILLISECONDS_FROM, numbers / 1000, numbers)
    return numbers, np.flatnonzero(bad).tolist()


def _number_or_nan(value: Any) -> float:
    """Return seconds or milliseconds; NaN where `value` says no time."""
    if type(value) is str:
        return _from_iso(value)
    if type(value) not in (int, float):
        return np.nan
    # Compared before it is converted: an integer may be beyond all floats.
    return float(value) if abs(value) < _TOO_LATE else np.nan


def _from_iso(text: str) -> float:
    if len(text) > _LONGEST:
        return np.nan
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return np.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
