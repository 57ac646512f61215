"""Running standardisation of numbers: ready after one event, and right for large offsets.

Means and squared deviations are merged as in Chan, Golub and LeVeque (1979), in float64 and relative to the mean so
far, so that 1.7e9 ± 1 is told apart.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

CLIP = 4.0
LIMIT = 1e100  # numbers beyond it count as it: their squares can still be summed
WARM = 64  # values after which a single one can no longer stretch the scale at will
OUTLIER = 20.0  # standard deviations beyond which a value counts as lying there, once there are WARM values
ROUNDING = 1e-13  # a deviation smaller than this share of the mean is rounding
SMALLEST = 1e-150  # so is one smaller than this: its square is nothing


def new_moments(capacity: int) -> Matrix:
    """Return moments of no values: shape (3, capacity); count, mean and sum of squared deviations."""
    return np.zeros((3, capacity))


def scales(moments: Matrix) -> Matrix:
    """Return what deviations are multiplied by, shape (columns,): 0 where all values were the same."""
    count, mean, squares = moments
    deviation = np.sqrt(squares / np.maximum(count, 1.0))
    sound = deviation > np.maximum(np.abs(mean) * ROUNDING, SMALLEST)
    inverse: NDArray[np.float64] = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=sound)
    return inverse


def standardised(moments: Matrix, numbers: Matrix) -> Matrix:
    """Return numbers, shape (rows, columns), as deviations from the mean in standard deviations, at most ±CLIP.

    NaN stays NaN.
    """
    deviations: Matrix = np.clip(numbers, -LIMIT, LIMIT)
    deviations -= moments[1]
    deviations *= scales(moments)
    return np.clip(deviations, -CLIP, CLIP, out=deviations)


def add_numbers(moments: Matrix, numbers: Matrix) -> None:
    """Merge values, shape (rows, columns), NaN where missing, into moments of the same columns."""
    count, mean, squares = moments
    present = ~np.isnan(numbers)
    fresh = count == 0
    if fresh.any():
        first = numbers[present.argmax(0), np.arange(numbers.shape[1])]
        mean[fresh] = np.clip(np.nan_to_num(first[fresh]), -LIMIT, LIMIT)
    deviations = np.clip(numbers, -LIMIT, LIMIT) - mean
    _pull_in(deviations, moments)
    deviations[~present] = 0.0
    added = present.sum(0)
    total = count + added
    step = deviations.sum(0) / np.maximum(added, 1)
    inside = np.maximum((deviations * deviations).sum(0) - added * step * step, 0.0)
    squares += inside + step * step * count * added / np.maximum(total, 1.0)
    mean += step * added / np.maximum(total, 1.0)
    count[:] = total


def _pull_in(deviations: Matrix, moments: Matrix) -> None:
    """Bound deviations in place, where enough values were seen to know what is usual."""
    count, _, squares = moments
    warm = (count >= WARM) & (squares > 0)
    bound = np.where(warm, OUTLIER * np.sqrt(squares / np.maximum(count, 1.0)), np.inf)
    np.clip(deviations, -bound, bound, out=deviations)
