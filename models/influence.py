"""A bound on what any one source adds to what is learned: rows beyond its share are scored, and not learned from.

On the path it stands before the learner (``service/learning/screen.py``). What counts is the weight that was learned
from recently, decayed by half every so many events. Each source's is kept in a count-min sketch (Cormode and
Muthukrishnan, 2005): bounded whatever number of sources there is, and never too low. Where there are few sources, each
may have twice an equal part: bounds that all of them meet would leave little to be learned.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import StateMismatch
from models.learner import LearnerState

Weights = NDArray[np.float32]
Sources = NDArray[np.uint64]
Numbers = NDArray[np.float64]

SCHEMA = 1
DEPTH, WIDTH = 4, 1 << 12
PRESENT = 1e-3  # share of all weight up to which sources are not counted one by one
EQUAL_PARTS = 2.0  # of all weight that a source may have where there are few
ROUNDS = 64  # of the search for how much may be added; each gets it nearer by a constant factor
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly
_SHIFTS = np.array([[0], [12], [24], [36]], np.uint64)  # parts of a digest are digests of their own


class _Groups(NamedTuple):
    """Rows by their source.

    Attributes
    ----------
    rows
        Those that have a source.
    group
        Of each of these rows.
    cells
        Shape (DEPTH, groups); the cells of the sketch that each group counts in.
    weights
        Shape (groups,); of its rows together.
    """

    rows: NDArray[np.intp]
    group: NDArray[np.intp]
    cells: NDArray[np.intp]
    weights: Numbers


class KeyShares:
    """The weight that was learned from each source recently. Owned by one thread.

    Parameters
    ----------
    share
        Above 0, at most 1: what a source may have of the recent weight.
    half_life
        Events after which what was learned counts half.
    """

    def __init__(self, share: float, half_life: float) -> None:
        self._share = share
        self._half_life = half_life
        self._sketch: Numbers = np.zeros((DEPTH, WIDTH))
        self._total = 0.0
        self._turns = 0

    def limited(self, sources: Sources, weights: Weights) -> Weights:
        """Return the rows' weights, 0 for those beyond their source's share; changes nothing.

        Parameters
        ----------
        sources
            Digests, shape (rows,); 0 for a row of no source, which is never bounded.
        weights
            Shape (rows,).
        """
        groups = _grouped(sources, weights)
        if not len(groups.rows):
            return weights
        decay = self._decay(len(weights))
        held = np.take_along_axis(self._sketch, groups.cells, 1).min(0) * decay
        total = self._total * decay
        added = _most(held, groups.weights, total, float(weights.sum(dtype=np.float64)), self._limit(groups, decay))
        shares = np.divide(added, groups.weights, out=np.ones_like(added), where=groups.weights > 0)
        if (shares >= 1).all():
            return weights
        # Of every source's rows, evenly spread ones stay; where they begin moves on from microbatch to microbatch.
        order = groups.group.argsort(kind="stable")
        starts = np.searchsorted(groups.group[order], np.arange(len(shares)))
        within = np.empty(len(order), np.int64)
        within[order] = np.arange(len(order)) - starts[groups.group[order]]
        share, offset = shares[groups.group], self._turns * GOLDEN % 1
        beyond = np.floor((within + 1) * share + offset) <= np.floor(within * share + offset)
        limited = weights.copy()
        limited[groups.rows[beyond & (share < 1)]] = 0.0
        return limited

    def add(self, sources: Sources, weights: Weights) -> None:
        """Count rows as learned with these weights, which :meth:`limited` returned."""
        decay = self._decay(len(weights))
        self._sketch *= decay
        self._total = self._total * decay + float(weights.sum(dtype=np.float64))
        self._turns += 1
        groups = _grouped(sources, weights)
        for line, cells in zip(self._sketch, groups.cells, strict=True):
            np.add.at(line, cells, groups.weights)

    def _decay(self, rows: int) -> float:
        return float(0.5 ** (rows / self._half_life))

    def _limit(self, groups: _Groups, decay: float) -> float:
        """Return the share that a source may have, as there are so many."""
        line = self._sketch[0] * decay
        np.add.at(line, groups.cells[0], groups.weights)
        large = line > PRESENT * line.sum()
        # Those that are smaller are at least so many.
        others = line[~large].sum() / (PRESENT * line.sum()) if line.any() else 0.0
        return max(self._share, EQUAL_PARTS / max(float(large.sum()) + others, EQUAL_PARTS))

    def state(self) -> LearnerState:
        """Return what :meth:`restore` takes back, copied."""
        meta = {"schema": SCHEMA, "total": self._total, "turns": self._turns}
        return LearnerState(meta, {"influence/sketch": self._sketch.copy()})

    def restore(self, state: LearnerState) -> None:
        """Become what `state` was taken from.

        Raises
        ------
        StateMismatch
        """
        if state.meta.get("schema") != SCHEMA or state.arrays["influence/sketch"].shape != self._sketch.shape:
            raise StateMismatch("the weights of sources were saved by another version: use that one, or an older state")
        self._sketch = state.arrays["influence/sketch"].copy()
        self._total, self._turns = float(state.meta["total"]), int(state.meta["turns"])


def _grouped(sources: Sources, weights: Weights) -> _Groups:
    rows = np.flatnonzero(sources)
    distinct, group = np.unique(sources[rows], return_inverse=True)
    cells = ((distinct >> _SHIFTS) % np.uint64(WIDTH)).astype(np.intp)
    return _Groups(rows, group, cells, np.bincount(group, weights[rows], len(distinct)).astype(np.float64))


def _most(held: Numbers, offered: Numbers, total: float, more: float, limit: float) -> Numbers:
    """Return how much of what each source offers can be added so that none has more than `limit` of all.

    What is added decides what there is of all: the largest solution is approached from above.
    """
    unbounded = total + more - offered.sum()
    added = offered
    for _ in range(ROUNDS):
        added = np.minimum(offered, np.maximum(limit * (unbounded + added.sum()) - held, 0.0))
    return added
