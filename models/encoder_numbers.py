"""Standardisation of numbers by running moments: ±4 standard deviations, and heavy tails in columns of their own."""

import numpy as np
from numpy.typing import NDArray

from models.moments import BEYOND, COUNT, FAR, LIMIT, MEAN, Matrix, deviations_of

CLIP = FAR
TAIL = 20.0  # standard deviations up to which the column of a heavy tail tells values apart
TAIL_SHARE = 0.002  # of values beyond ±CLIP that makes a tail heavy: 30 times that of a normal distribution
TAIL_COUNT = 16  # values beyond ±CLIP before that is judged


def standardised(moments: Matrix, numbers: Matrix) -> Matrix:
    """Return numbers, shape (rows, columns), as deviations from the mean in standard deviations.

    NaN stays NaN; where all values were the same, all are 0.
    """
    spread = deviations_of(moments)
    deviations: Matrix = np.minimum(np.maximum(numbers, -LIMIT), LIMIT)
    deviations -= moments[MEAN]
    deviations *= np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    return deviations


def clipped(deviations: Matrix) -> Matrix:
    """Return standardised values within ±CLIP, in the same memory."""
    return np.minimum(np.maximum(deviations, -CLIP, out=deviations), CLIP, out=deviations)


def tails(deviations: Matrix) -> Matrix:
    """Return what of standardised values lies beyond ±CLIP, up to ±TAIL, as 0 to ±4; 0 where missing."""
    beyond: Matrix = np.clip(deviations, -TAIL, TAIL) - np.clip(deviations, -CLIP, CLIP)
    beyond *= CLIP / (TAIL - CLIP)
    return np.nan_to_num(beyond, copy=False)


def heavy_tailed(moments: Matrix) -> NDArray[np.bool_]:
    """Return whether so many values lie beyond ±CLIP that they have to be told apart, shape (columns,)."""
    heavy: NDArray[np.bool_] = (moments[BEYOND] >= TAIL_COUNT) & (moments[BEYOND] >= TAIL_SHARE * moments[COUNT])
    return heavy
