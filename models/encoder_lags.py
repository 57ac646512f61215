"""What the target of the stream as a whole did of late: its last value, and decaying means at several rates.

Many streams resemble themselves a while ago, whatever the features say. All rows of a microbatch see the same lags,
those of the labels learned before it, however many rows that is: so what they are worth depends on how late labels
come, and ``encoder_worth.py`` finds it out. Of many classes there are no columns of lags: at label delays above one
they were columns of noise, eight for each rate, and at one the expert ``last`` knows as much.
"""

from functools import lru_cache

import numpy as np

from models.encoder_numbers import clipped
from models.encoder_sides import Matrix, Scales

RATES = (1.0, 0.1, 0.02, 0.003)
"""Share of each decaying mean that one row renews; the first is the last value itself."""

COUNT, MEAN, DECAYING = 0, 1, 2
"""Rows of the lags: how many targets (the same for each side), their mean, and the first of the decaying means."""


def lags_width(sides: int) -> int:
    """Return how many input columns lags take: one for each rate where there is one side, else none."""
    return len(RATES) if sides == 1 else 0


def new_lags(sides: int) -> Matrix:
    """Return lags of no target: shape (2 + rates, sides)."""
    return np.zeros((DECAYING + len(RATES), sides))


def scales_of(lags: Matrix) -> Scales:
    """Return the scales of sides that are each 0 or 1."""
    means = lags[MEAN].copy()
    deviations = np.sqrt(np.maximum(means * (1 - means), 0.0))
    return Scales(means, np.divide(1.0, deviations, out=np.zeros_like(means), where=deviations > 0))


def read_lags(lags: Matrix, scales: Scales) -> Matrix:
    """Return standardised lags of one side within ±CLIP, shape (columns,): 0 before the first target."""
    if not lags[COUNT, 0]:
        return np.zeros(lags[DECAYING:].size)
    return clipped(scales.standard(lags[DECAYING:])).ravel()


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
