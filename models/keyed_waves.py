"""In which steps the rows of a microbatch are learned, so that those of one key are learned in order. For ``keyed.py``.

A *wave* has a run of consecutive rows of each key that still has some, as one rectangle of rows for all keys whose runs
are about as long. However many rows a key has, there are few waves; with many keys, nearly all is in the first.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RUN = 32  # rows of a key that are learned at once, unless they are so many that there would be more
WAVES = 8  # waves than these
NARROW = 4  # rows of a key up to which its run is handled with those of the keys that have a single row


class Wave(NamedTuple):
    """Rows that are learned at once.

    Attributes
    ----------
    slots
        Of the keys, int64, shape (keys,); each there once.
    rows
        int64, shape (keys, width): places of their rows in the microbatch, in order, filled up with 0.
    counts
        int64, shape (keys,): how many there are of each.
    """

    slots: NDArray[np.int64]
    rows: NDArray[np.int64]
    counts: NDArray[np.int64]


def yield_waves(slots: NDArray[np.int64]) -> Iterator[Wave]:
    """Yield all rows that have a slot, once each.

    Parameters
    ----------
    slots
        Of each row, int64, shape (rows,); negative where a row has none.
    """
    order = np.argsort(slots, kind="stable")
    order = order[np.searchsorted(slots[order], 0) :]
    if not len(order):
        return
    met, starts, counts = np.unique(slots[order], return_index=True, return_counts=True)
    run = max(RUN, -(-int(counts.max()) // WAVES))
    for begun in range(0, int(counts.max()), run):
        lengths = np.minimum(counts - begun, run)
        shorter = 0
        for width in (NARROW, RUN, run):
            keys = np.flatnonzero((lengths > shorter) & (lengths <= width))
            shorter = width
            if not len(keys):
                continue
            steps = np.arange(width)
            inside = steps < lengths[keys, None]
            rows = order[np.where(inside, (starts[keys] + begun)[:, None] + steps, 0)]
            yield Wave(met[keys], np.where(inside, rows, 0), lengths[keys])
