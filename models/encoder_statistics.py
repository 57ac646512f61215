"""Running statistics of the target for each value of a category.

A value met before brings with it what the target was: its mean over the whole stream, shrunk towards the mean of all
rows while there is little to go by; where there are few sides (``encoder_sides.py``), its recent mean; and, for
regression, its last. This is what makes categories of thousands of values useful to a dense network. All of it comes
from labels of earlier microbatches only.

One table serves all categories, a row for each of 2^16 hashes, so its memory is bounded; two values that share a row
share their statistics. All categories of a microbatch are read, and learned, at once: for a few rows the calls cost
more than what they do.
"""

import numpy as np
from numpy.typing import NDArray

from models.encoder_numbers import clipped
from models.encoder_sides import Matrix, Scales, sides_of
from models.examples import Task

Table = NDArray[np.float64]

ROWS = 1 << 16
SHRINKAGE = 10.0  # rows of the overall mean that every value's mean starts from
RECENT = 0.3  # share of the recent mean that each row renews

MEAN, RECENTLY, LAST = range(3)
"""Kinds of statistics; a table has the first one, two or three of them."""


def kinds_of(task: Task) -> int:
    """Return how many kinds of statistics there are: of many classes, means alone, or they would take all the width."""
    return {Task.REGRESSION: 3, Task.BINARY: 2}.get(task, 1)


def statistics_width(task: Task) -> int:
    """Return how many input columns a category gets: for each kind of statistics the sides, side by side."""
    return kinds_of(task) * sides_of(task)


def new_table(task: Task) -> Table:
    """Return a table without any value: shape (ROWS, 1 + width), a count and the statistics."""
    return np.zeros((ROWS, 1 + statistics_width(task)))


def read_statistics(table: Table, hashes: NDArray[np.int64], scales: Scales) -> Matrix:
    """Return standardised statistics of values, shape (values, width); 0 for a value never met."""
    read = table[hashes & (ROWS - 1)]
    count, sides = read[:, 0], len(scales.means)
    found = scales.standard(read[:, 1:].reshape(len(read), -1, sides))
    found[:, MEAN] *= (count / (count + SHRINKAGE))[:, None]
    found[count == 0] = 0.0
    return clipped(found).reshape(len(read), -1)


def add_targets(table: Table, hashes: NDArray[np.int64], targets: Matrix) -> NDArray[np.int64]:
    """Merge the targets of some values, shape (values, sides), into the table and return its rows that changed."""
    places = hashes & (ROWS - 1)
    order = places.astype(np.uint16).argsort(kind="stable")  # by digits: there are 2^16 rows
    places, targets = places[order], targets[order]
    stops = np.append(np.flatnonzero(places[1:] != places[:-1]), len(places) - 1) + 1
    rows, latest = places[stops - 1], targets[stops - 1]
    added = np.diff(stops, prepend=0)
    found = table[rows]
    count = found[:, :1]
    held = found[:, 1:].reshape(len(rows), -1, targets.shape[1])
    # Relative to what is near: a large offset must not cost digits.
    anchor = np.where(count > 0, held[:, MEAN], latest)
    sums = np.add.reduceat(targets - np.repeat(anchor, added, axis=0), stops - added, axis=0)
    here = anchor + sums / added[:, None]
    share = added[:, None] / (count + added[:, None])
    if held.shape[1] > RECENTLY:
        kept = np.where(count > 0, (1 - RECENT) ** added[:, None], 0.0)
        held[:, RECENTLY] = here + (held[:, RECENTLY] - here) * kept
    if held.shape[1] > LAST:
        held[:, LAST] = latest
    held[:, MEAN] = anchor + (here - anchor) * share
    table[rows, 1:] = held.reshape(len(rows), -1)
    table[rows, 0] += added
    changed: NDArray[np.int64] = rows
    return changed
