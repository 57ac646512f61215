"""Running means and variances of columns of numbers: ready after one value, right for large offsets, hard to spoil.

They are merged as in Chan, Golub and LeVeque (1979), in float64 and relative to the mean so far, so that 1.7e9 ± 1 is
told apart. Once enough values were seen, one far out counts as lying at a bound, so that a single one cannot stretch
the scale at will, while many soon do. Before that the middle of what comes together says what is far out (the median
and the median absolute deviation, of which Hampel, 1974, has the theory): up to half of it may be garbage. And where,
early on, recent values spread far less than those before, the recent ones are what counts: so nothing but garbage at
the very beginning does not leave a column useless either.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

COUNT, MEAN, SQUARES = 0, 1, 2
"""Rows of moments: how many values, their mean, and the sum of their squared deviations from it."""

RECENT = 3
"""First of the same three rows for the recent values."""

BEYOND = 6
"""Row of moments: how many values were far out (``FAR``) when they came."""

ROWS = 7
LIMIT = 1e100  # values beyond it count as it: their squares can still be summed
WARM = 64  # values after which a single one can no longer stretch the scale at will
OUTLIER = 20.0  # standard deviations beyond which a value counts as lying there, once there are WARM values
FAR = 4.0  # standard deviations beyond which a value is counted as far out, once there are WARM values
ROUNDING = 1e-13  # a deviation smaller than this share of the mean is rounding
SMALLEST = 1e-150  # so is one smaller than this: its square is nothing
RENEWED = 512  # recent values from which it is judged whether the spread has shrunk
EARLY = 4096  # values after which that is judged no more: what moves slowly, such as the time, looks like it too
SHRUNK = 1000.0  # times smaller than before that a spread is for the recent values to count alone
JUDGED = 16  # values that come together from which their middle says what is far out
NORMAL = 1.4826  # standard deviations of a normal distribution in a median absolute deviation


class Middle(NamedTuple):
    """Where most values of some columns lie: float64, shape (columns,) each.

    Attributes
    ----------
    median
        Half of the values lie below.
    spread
        The standard deviation of a normal distribution with this median absolute deviation; 0 where half of all values
        are the same, which says nothing of the others.
    """

    median: Matrix
    spread: Matrix

    @property
    def farthest(self) -> Matrix:
        """Distances from the median beyond which values are garbage."""
        return np.where(self.spread > 0, SHRUNK * self.spread, np.inf)

    def bounded(self, values: Matrix) -> Matrix:
        """Return values, shape (rows, columns), in which garbage lies at a bound."""
        values = np.clip(values, -LIMIT, LIMIT)
        deviations = values - self.median
        bounds = self.median + np.sign(deviations) * (FAR * self.spread)
        return np.where(np.abs(deviations) > self.farthest, bounds, values)


def middle_of(values: Matrix) -> Middle:
    """Return the middle of values, shape (rows, columns), NaN where missing; each column has one at least."""
    values = np.clip(values, -LIMIT, LIMIT)
    median = np.nanmedian(values, axis=0)
    return Middle(median, NORMAL * np.nanmedian(np.abs(values - median), axis=0))


def new_moments(columns: int) -> Matrix:
    """Return moments of no values: shape (ROWS, columns)."""
    return np.zeros((ROWS, columns))


def deviations_of(moments: Matrix) -> Matrix:
    """Return standard deviations, shape (columns,): 0 where all values were the same, rounding aside."""
    deviation: Matrix = np.sqrt(moments[SQUARES] / np.maximum(moments[COUNT], 1.0))
    deviation[deviation <= np.maximum(np.abs(moments[MEAN]) * ROUNDING, SMALLEST)] = 0.0
    return deviation


def add_values(moments: Matrix, values: Matrix, *, gaps: bool) -> None:
    """Merge values, shape (rows, columns), into moments, shape (ROWS, columns).

    Parameters
    ----------
    moments
        Changed.
    values
        NaN where missing.
    gaps
        Whether there is a NaN.
    """
    # Recent values are of no use any more, once it is judged no more by them.
    late = (moments[COUNT] > EARLY).all()
    both = moments[: RECENT if late else BEYOND].reshape(-1, 3, moments.shape[1])
    count, mean, squares = both[:, COUNT], both[:, MEAN], both[:, SQUARES]
    values = np.minimum(np.maximum(values, -LIMIT), LIMIT)
    if (count[0] < WARM).any():
        values = _without_garbage(moments, values)
    if not count.all():
        _start(count, mean, values)
    known = (count >= WARM) & (squares > 0)
    spread = np.where(known, np.sqrt(squares / np.maximum(count, 1.0)), np.inf)
    # In memory as the values are, however the means are, which depends on the order of the columns that came: sums of
    # the same numbers in another order are not the same to the last bit.
    deviations = np.subtract(values[:, None, :], mean, order="C" if values.flags.c_contiguous else "F")
    moments[BEYOND] += (np.abs(deviations[:, 0]) > FAR * spread[0]).sum(0)
    bound = OUTLIER * spread
    np.maximum(np.minimum(deviations, bound, out=deviations), -bound, out=deviations)
    added: float | Matrix = float(len(values))
    if gaps:
        missing = np.isnan(values)
        deviations[np.broadcast_to(missing[:, None, :], deviations.shape)] = 0.0
        added = len(values) - missing.sum(0, dtype=np.float64)
    _merge(both, deviations, added)
    if not late:
        _renew(moments)


def _without_garbage(moments: Matrix, values: Matrix) -> Matrix:
    """Return values in which those of columns that hardly have any lie within the bounds of their middle.

    What columns had before is forgotten where it lies farther out.
    """
    columns = np.flatnonzero((moments[COUNT] < WARM) & ((~np.isnan(values)).sum(0) >= JUDGED))
    if not len(columns):
        return values
    middle = middle_of(values[:, columns])
    values[:, columns] = middle.bounded(values[:, columns])
    before = np.maximum(np.abs(moments[MEAN, columns] - middle.median), deviations_of(moments[:RECENT, columns]))
    moments[:, columns[(moments[COUNT, columns] > 0) & (before > middle.farthest)]] = 0.0
    return values


def _start(count: Matrix, mean: Matrix, values: Matrix) -> None:
    """Take the first value of a column without any for its mean, so that deviations are small."""
    present = ~np.isnan(values)
    first = values[present.argmax(0), np.arange(values.shape[1])]
    np.copyto(mean, np.nan_to_num(first), where=count == 0)


def _merge(both: Matrix, deviations: Matrix, added: float | Matrix) -> None:
    """Merge deviations from the means so far, shape (rows, sets, columns), into moments, shape (sets, 3, columns)."""
    count, mean, squares = both[:, COUNT], both[:, MEAN], both[:, SQUARES]
    share = added / np.maximum(count + added, 1.0)
    step = deviations.sum(0) / np.maximum(added, 1.0)
    inside = (deviations * deviations).sum(0) - added * step * step
    squares += np.maximum(inside, 0.0) + step * step * count * share
    mean += step * share
    count += added


def _renew(moments: Matrix) -> None:
    """Judge columns that have enough recent values, and begin to gather the next."""
    full = (moments[RECENT] >= RENEWED) & (moments[COUNT] <= EARLY)
    if not full.any():
        return
    spread, recent = deviations_of(moments[:RECENT]), deviations_of(moments[RECENT:BEYOND])
    shrunk = full & (recent > 0) & (spread > SHRUNK * recent)
    moments[:RECENT, shrunk] = moments[RECENT:BEYOND, shrunk]
    moments[BEYOND, shrunk] = 0.0
    moments[RECENT:BEYOND, full] = 0.0
