"""What the target of the stream as a whole did of late: its last value, and decaying means at several rates.

Many streams resemble themselves a while ago, whatever the features say. All rows of a microbatch see the same lags,
those of the labels learned before it, however many rows that is: so what they are worth depends on how late labels
come, and ``encoder_worth.py`` finds it out. Of classes they tell whether it was the second one, while there are next
to no others: of many classes, columns of lags were noise at label delays above one, and at one the expert ``last``
knows as much.
"""

from functools import lru_cache

import numpy as np

from models.encoder_numbers import clipped
from models.encoder_sides import Matrix, Scales

RATES = (1.0, 0.1, 0.02, 0.003)
"""Share of each decaying mean that one row renews; the first is the last value itself."""

RARE = 0.1  # of the rarer of the first two classes, up to which all others may be met in a stream of two classes

COUNT, MEAN, DECAYING = 0, 1, 2
"""Rows of the lags: how many targets (the same for each side), their mean, and the first of the decaying means."""


def side_of(sides: int) -> int:
    """Return the side that lags are of: the only one, or whether it was the second class."""
    return min(sides - 1, 1)


def tells(lags: Matrix) -> bool:
    """Return whether there is one side, or next to no class but the first and the second, as far as is known."""
    return lags.shape[1] == 1 or float(lags[MEAN, 2:].sum()) <= RARE * float(lags[MEAN, :2].min())


def new_lags(sides: int) -> Matrix:
    """Return lags of no target: shape (2 + rates, sides)."""
    return np.zeros((DECAYING + len(RATES), sides))


def scales_of(lags: Matrix) -> Scales:
    """Return the scales of sides that are each 0 or 1."""
    means = lags[MEAN].copy()
    deviations = np.sqrt(np.maximum(means * (1 - means), 0.0))
    return Scales(means, np.divide(1.0, deviations, out=np.zeros_like(means), where=deviations > 0))


def read_lags(lags: Matrix, scales: Scales) -> Matrix:
    """Return standardised lags of one side within ±CLIP, shape (columns,): 0 where they tell nothing, or not yet."""
    if not lags[COUNT, 0] or not tells(lags):
        return np.zeros(len(RATES))
    return clipped(scales.standard(lags[DECAYING:])[:, side_of(lags.shape[1])])


def add_to_lags(lags: Matrix, targets: Matrix) -> None:
    """Take in targets, shape (rows, sides), at least one, in their order."""
    first = targets[0]
    if not lags[COUNT, 0]:
        lags[MEAN:] = first
    decaying, rows = lags[DECAYING:], len(targets)
    weights, kept = _weights(rows)
    # Relative to what is near: a large offset must not cost digits.
    decaying[:] = first + (decaying - first) * kept[:, None] + weights @ (targets - first)
    lags[COUNT] += rows
    lags[MEAN] += (targets - lags[MEAN]).sum(0) / lags[COUNT]


@lru_cache(maxsize=64)
def _weights(rows: int) -> tuple[Matrix, Matrix]:
    """Return what each of some rows weighs in the decaying means, shape (rates, rows), and what is kept of before."""
    rates = np.array(RATES)
    ages = np.arange(rows - 1, -1, -1)
    return rates[:, None] * (1 - rates[:, None]) ** ages, (1 - rates) ** rows
