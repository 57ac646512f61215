"""Running statistics of the target for each value of a category.

A value met before brings with it what the target was: its mean over the whole stream, shrunk towards the mean of all
rows while there is little to go by, its recent mean, and, for regression, its last. This is what makes categories of
thousands of values useful to a dense network. All of it comes from labels of earlier microbatches only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_numbers import CLIP

Table = NDArray[np.float64]

ROWS = 1 << 16
COLUMNS = 4  # count, mean, recent mean, last
SHRINKAGE = 10.0  # rows of the overall mean that every value's mean starts from
RECENT = 0.3  # share of the recent mean that each row renews


class Scale(NamedTuple):
    """Mean and standard deviation of the target so far."""

    mean: float
    deviation: float


def statistics_width(*, numeric: bool) -> int:
    """Return how many input columns a category gets."""
    return 3 if numeric else 2


def read_statistics(table: Table, hashes: NDArray[np.int64], scale: Scale, width: int) -> NDArray[np.float64]:
    """Return standardised statistics of values, shape (values, width); 0 for a value never met."""
    read = table[hashes & (ROWS - 1)]
    count: Table = read[:, 0]
    found: Table = read[:, 1 : 1 + width]
    found -= scale.mean
    found *= 1 / scale.deviation if scale.deviation > 0 else 0.0
    found[:, 0] *= count / (count + SHRINKAGE)
    found[count == 0] = 0.0
    np.clip(found, -CLIP, CLIP, out=found)
    return found


def add_targets(table: Table, hashes: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Merge the targets of some values into the table and return its rows that changed."""
    places = hashes & (ROWS - 1)
    order = places.argsort(kind="stable")
    places, targets = places[order], targets[order]
    stops = np.append(np.flatnonzero(places[1:] != places[:-1]), len(places) - 1) + 1
    rows, latest = places[stops - 1], targets[stops - 1]
    added = np.diff(stops, prepend=0)
    found = table[rows]
    count, mean, recent = found[:, 0], found[:, 1], found[:, 2]
    # Relative to what is near: a large offset must not cost digits.
    anchor = np.where(count > 0, mean, latest)
    here = anchor + np.add.reduceat(targets - np.repeat(anchor, added), stops - added) / added
    table[rows, 1] = anchor + (here - anchor) * (added / (count + added))
    table[rows, 2] = here + (recent - here) * np.where(count > 0, (1 - RECENT) ** added, 0.0)
    table[rows, 3] = latest
    table[rows, 0] = count + added
    changed: NDArray[np.int64] = rows
    return changed
