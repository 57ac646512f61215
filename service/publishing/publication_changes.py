"""What changed since when: so that publishing costs in proportion to what changed.

Each slot of a publication was last written some publications ago, and what changed in any of those must be copied. For
each block of each array the number of the publication at which it last changed is kept; what a slot needs is then one
comparison.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.learner import Array

_BLOCK = 64  # elements: a row of an embedding, or a few
_SMALL = 4096  # elements up to which an array is one block: copying it costs less than finding out what to copy
_FEW = 8  # ranges up to which a loop is faster than arrays of indices

Ranges = Sequence[tuple[int, int]]


class Changes:
    """Keeps track of changes for arrays of one layout."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.number = 0
        """Number of the newest publication."""
        self._whole = dict.fromkeys(arrays, 0)  # when all of it changed
        self._latest = dict.fromkeys(arrays, 0)  # when any of it changed
        self._blocks: dict[str, NDArray[np.int64]] = {
            name: np.zeros(-(-array.size // _BLOCK), np.int64) for name, array in arrays.items() if array.size > _SMALL
        }

    def note(self, changed: Mapping[str, Ranges] | None) -> None:
        """Count one publication in which the ranges `changed` of flat elements changed; None is everything."""
        self.number += 1
        if changed is None:
            self._whole = dict.fromkeys(self._whole, self.number)
            self._latest = dict(self._whole)
            return
        for name, ranges in changed.items():
            if not len(ranges):
                continue
            self._latest[name] = self.number
            blocks = self._blocks.get(name)
            if blocks is None:
                self._whole[name] = self.number
            else:
                _mark(blocks, ranges, self.number)

    def copy(self, source: Mapping[str, Array], target: Mapping[str, Array], since: int) -> None:
        """Copy to `target` what changed in `source` after publication `since`; a negative number copies everything."""
        for name, latest in self._latest.items():
            if latest <= since:
                continue
            if self._whole[name] > since:
                np.copyto(target[name], source[name])
            else:
                dirty = np.flatnonzero(self._blocks[name] > since)
                _copy_blocks(source[name].reshape(-1), target[name].reshape(-1), dirty)


def _mark(blocks: NDArray[np.int64], ranges: Ranges, number: int) -> None:
    """Set the blocks that `ranges` touch to `number`."""
    if len(ranges) <= _FEW:
        for start, stop in ranges:
            if stop > start:
                blocks[start // _BLOCK : (stop - 1) // _BLOCK + 1] = number
        return
    bounds = np.asarray(ranges, np.int64)
    bounds = bounds[bounds[:, 1] > bounds[:, 0]]
    first, last = bounds[:, 0] // _BLOCK, (bounds[:, 1] - 1) // _BLOCK
    # Number of ranges open at each block: +1 where one begins, -1 after its end.
    opened = np.bincount(first, minlength=len(blocks) + 1)
    opened -= np.bincount(last + 1, minlength=len(blocks) + 1)
    blocks[np.cumsum(opened[:-1]) > 0] = number


def _copy_blocks(source: Array, target: Array, dirty: NDArray[np.intp]) -> None:
    """Copy the blocks of flat arrays that `dirty` names, in increasing order."""
    full = source.size // _BLOCK
    if 2 * dirty.size > full:
        np.copyto(target, source)
        return
    if dirty.size and dirty[-1] == full:  # the last block, which is not a whole one
        target[full * _BLOCK :] = source[full * _BLOCK :]
        dirty = dirty[:-1]
    rows = source[: full * _BLOCK].reshape(full, _BLOCK)
    target[: full * _BLOCK].reshape(full, _BLOCK)[dirty] = rows[dirty]
