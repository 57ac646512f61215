"""Axes that suit some values: where they begin and end, and where they are marked."""

import math
from collections.abc import Callable, Sequence

from service.measuring.chart import Axis, steps

_MARGIN = 0.06  # of what the values take, at either end
_MARKS = 5  # about so many
_APART = 0.07  # of the axis, at least, between two marks that are given


def linear_axis(values: Sequence[float], written: Callable[[float], str], *, most: float | None = None) -> Axis:
    """Return an axis on which equal differences are equally long.

    Parameters
    ----------
    values
        What is to be seen; at least one.
    written
        How a mark is written.
    most
        What no value can exceed, where there is such a thing; then none is below 0 either.
    """
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    if most is not None:
        low, high = max(low, 0.0), min(high, most)
    if low < 0 <= min(values):
        low = 0.0
    return Axis(low, high, [(value, written(value)) for value in steps(low, high, _MARKS)])


def logarithmic_axis(
    values: Sequence[float], written: Callable[[float], str], marks: Sequence[float] = (), name: str = ""
) -> Axis:
    """Return an axis on which equal factors are equally long.

    Parameters
    ----------
    values
        What is to be seen, above 0; at least one.
    written
        How a mark is written.
    marks
        Where marks are wanted, growing; none for round values.
    name
        See :class:`Axis`.
    """
    low, high = min(values), max(values)
    # At least a factor of two, so that noise does not look like much.
    margin = max((high / low) ** _MARGIN, (2 * low / high) ** 0.5)
    low, high = low / margin, high * margin
    axis = Axis(low, high, [], name, logarithmic=True)
    places = [(axis.place(value), value) for value in marks or _round(low, high)]
    if marks:
        places = [each for number, each in enumerate(places) if not number or each[0] - places[number - 1][0] >= _APART]
    return Axis(low, high, [(value, written(value)) for _, value in places], name, logarithmic=True)


def _round(low: float, high: float) -> list[float]:
    """Return powers of ten between two values; twos and fives as well where these are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, (last - first) // _MARKS)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            if not power % every
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if len(found) >= 3:
            return found
    return found
