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


TAIL = 20.0  # standard deviations up to which the column of a heavy tail tells values apart
TAIL_SHARE = 0.002  # of values beyond ±CLIP that makes a tail heavy: 30 times that of a normal distribution
TAIL_COUNT = 16  # values beyond ±CLIP before that is judged


def new_moments(capacity: int) -> Matrix:
    """Return moments of no values: shape (4, capacity).

    Rows: count, mean, sum of squared deviations, and how many values were beyond ±CLIP when they came.
    """
    return np.zeros((4, capacity))


def scales(moments: Matrix) -> Matrix:
    """Return what deviations are multiplied by, shape (columns,): 0 where all values were the same."""
    count, mean, squares = moments[:3]
    deviation = np.sqrt(squares / np.maximum(count, 1.0))
    sound = deviation > np.maximum(np.abs(mean) * ROUNDING, SMALLEST)
    inverse: NDArray[np.float64] = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=sound)
    return inverse


def standardised(moments: Matrix, numbers: Matrix) -> Matrix:
    """Return numbers, shape (rows, columns), as deviations from the mean in standard deviations; NaN stays NaN."""
    deviations: Matrix = np.clip(numbers, -LIMIT, LIMIT)
    deviations -= moments[1]
    deviations *= scales(moments)
    return deviations


def tails(deviations: Matrix) -> Matrix:
    """Return what of standardised values lies beyond ±CLIP, up to ±TAIL, as 0 to ±4; 0 where missing."""
    beyond: Matrix = np.clip(deviations, -TAIL, TAIL) - np.clip(deviations, -CLIP, CLIP)
    beyond *= CLIP / (TAIL - CLIP)
    return np.nan_to_num(beyond, copy=False)


def count_beyond(moments: Matrix, numbers: Matrix) -> None:
    """Count the values beyond ±CLIP by moments as they were before these values."""
    reach = CLIP * np.sqrt(moments[2] / np.maximum(moments[0], 1.0))
    reach[moments[0] < WARM] = np.inf
    moments[3] += (np.abs(numbers - moments[1]) > reach).sum(0)


def heavy_tailed(moments: Matrix) -> NDArray[np.bool_]:
    """Return whether so many values lie beyond ±CLIP that they have to be told apart, shape (columns,)."""
    heavy: NDArray[np.bool_] = (moments[3] >= TAIL_COUNT) & (moments[3] >= TAIL_SHARE * moments[0])
    return heavy


def add_numbers(moments: Matrix, numbers: Matrix) -> None:
    """Merge values, shape (rows, columns), NaN where missing, into the first three moments of the same columns."""
    count, mean, squares = moments[:3]
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
    count, squares = moments[0], moments[2]
    warm = (count >= WARM) & (squares > 0)
    bound = np.where(warm, OUTLIER * np.sqrt(squares / np.maximum(count, 1.0)), np.inf)
    np.clip(deviations, -bound, bound, out=deviations)
