"""Running statistics of the target for each value of a category.

A value met before brings with it what the target was: its mean over the whole stream, shrunk towards the mean of all
rows while there is little to go by, its recent mean, and, for regression, its last. This is what makes categories of
thousands of values useful to a dense network. All of it comes from labels of earlier microbatches only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

ROWS = 1 << 16
COLUMNS = 4  # count, mean, recent mean, last
SHRINKAGE = 10.0  # rows of the overall mean that every value's mean starts from
RECENT = 0.1  # share of the recent mean that each row renews


class Scale(NamedTuple):
    """Mean and standard deviation of the target so far."""

    mean: float
    deviation: float


def statistics_width(*, numeric: bool) -> int:
    """Return how many input columns a category gets."""
    return 3 if numeric else 2


def read_statistics(table: Table, hashes: NDArray[np.int64], scale: Scale, width: int) -> NDArray[np.float64]:
    """Return standardised statistics of values, shape (values, width); 0 for a value never met."""
    count, mean, recent, last = table[hashes & (ROWS - 1)].T
    shrunk = (mean - scale.mean) * (count / (count + SHRINKAGE))
    found = np.stack([shrunk, recent - scale.mean, last - scale.mean][:width], axis=1)
    found[count == 0] = 0.0
    found *= 1 / scale.deviation if scale.deviation > 0 else 0.0
    return np.clip(found, -4.0, 4.0, out=found)


def add_targets(table: Table, hashes: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Merge the targets of some values into the table and return its rows that changed."""
    rows, inverse, added = np.unique(hashes & (ROWS - 1), return_inverse=True, return_counts=True)
    count, mean, recent, last = table[rows].T
    # The last row of equal value is the one that a reversed search finds first.
    latest = targets[len(targets) - 1 - np.unique(inverse[::-1], return_index=True)[1]]
    anchor = np.where(count > 0, mean, latest)
    here = anchor + np.bincount(inverse, targets - anchor[inverse]) / added
    table[rows, 0] = count + added
    table[rows, 1] = anchor + (here - anchor) * (added / (count + added))
    kept = np.where(count > 0, (1 - RECENT) ** added, 0.0)
    table[rows, 2] = here + (recent - here) * kept
    table[rows, 3] = latest
    del last
    return rows
