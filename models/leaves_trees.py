"""Random oblivious trees: which leaf of each a row falls into. The features that ``leaves.py`` is a linear model of.

An oblivious tree asks the same test of all nodes of a level, so a leaf's number is its tests' answers as bits, and all
trees are computed at once. A test compares one column with a threshold; a value that is missing is above none, and the
threshold that is below all values tells the missing from the rest. A tree may have fewer tests than slots.

Columns are raw ones, whose scale never moves, and dense ones: what is estimated from targets is worth many thresholds,
and standardised numbers follow a drift that raw ones go along with.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.devices import to_device
from models.encoder_layout import MOST_RAWS, Role, rounded_up
from models.expert import Encoded, Space

TESTS = 7
"""Slots for tests that a tree has."""

FEWEST = 2
"""Tests that the shallowest trees have in the end: what follows from one column or two needs no more leaves."""

LEAVES = 1 << TESTS
"""Leaves that a tree has room for."""

RECENT = 512
"""Rows whose values thresholds are drawn from."""

UNIFORM = 0.1
"""Share of new tests whose column is drawn without regard to use: what is useless now need not stay so."""

SHARPNESS = 2.0
"""Power of a column's use that it is drawn by: half as useful, a quarter as often."""


class Trees:
    """Trees, all as deep as they are grown, and the recent rows that new tests are drawn from.

    Parameters
    ----------
    count
        How many trees.
    seed
        Of all that is drawn.
    device
        Where to.

    Attributes
    ----------
    columns, thresholds
        int32 and float32, shape (TESTS, count); a slot without a test has the threshold infinity.
    depths
        int64, shape (count,): tests that each tree is to have in the end, from FEWEST to TESTS.
    sources
        int64, shape (columns,): the raw column that each column is, or MOST_RAWS more than the dense one.
    recent
        float32, shape (RECENT, capacity): the values of the last rows, a ring.
    """

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        self._seed = seed
        depths = np.random.Generator(np.random.PCG64([seed, 0])).integers(FEWEST, TESTS + 1, count)
        self.depths = to_device(depths, device)
        self.columns = torch.zeros((TESTS, count), dtype=torch.int32, device=device)
        self.thresholds = torch.full((TESTS, count), torch.inf, device=device)
        self.sources = torch.empty(0, dtype=torch.int64, device=device)
        self.recent = torch.empty((RECENT, 0), device=device)
        self._known = (0, 0)
        self._numbers = torch.arange(count, dtype=torch.int32, device=device)
        self._bits = 2.0 ** torch.arange(TESTS, device=device)
        self._trees = torch.arange(count, dtype=torch.float32, device=device).unsqueeze(1)
        self._slots = torch.arange(TESTS, device=device).unsqueeze(1)

    def values(self, rows: Encoded) -> Tensor:
        """Return the columns of rows, float32, shape (columns, rows); reads within them, whatever the sources are."""
        raws = rows.raw.shape[1]
        there = torch.cat([rows.raw.t(), rows.dense.t()])
        if not len(there):
            return there
        places = torch.where(self.sources < MOST_RAWS, self.sources, self.sources - MOST_RAWS + raws)
        return there.index_select(0, places.clamp_(0, len(there) - 1))

    def places(self, values: Tensor) -> Tensor:
        """Return each row's leaf in each tree, int32, shape (rows, count): leaf · count + tree.

        Whatever columns and thresholds are, reading stays within `values`, and the result within LEAVES · count.

        Parameters
        ----------
        values
            What :meth:`values` returned.
        """
        held, rows = values.shape
        if not held:
            return self._numbers.repeat(rows, 1)
        columns = self.columns.clamp(0, held - 1).view(-1)
        # Answers are 1.0 or 0.0: as numbers they take a quarter of the time that they take as truth values.
        above = values.index_select(0, columns).view(*self.columns.shape, rows).gt_(self.thresholds.unsqueeze(2))
        count = self._numbers.shape[0]
        # As floats, which hold all of these whole numbers, until they are turned.
        leaf = (self._bits @ above.view(TESTS, count * rows)).view(count, rows)
        places = torch.add(self._trees, leaf, alpha=count)
        return torch.empty((rows, count), dtype=torch.int32, device=values.device).copy_(places.t())

    def grow(self, space: Space) -> None:
        """Take in columns that have come into use."""
        raws, inputs = self._known
        self._known = (space.raws_used, space.layout.width)
        found = [*range(raws, space.raws_used), *(MOST_RAWS + place for place in range(inputs, space.layout.width))]
        self.sources = torch.cat([self.sources, to_device(np.array(found, np.int64), self.sources.device)])
        if len(self.sources) > self.recent.shape[1]:
            grown = self.recent.new_full((RECENT, rounded_up(len(self.sources))), torch.nan)
            grown[:, : self.recent.shape[1]] = self.recent
            self.recent = grown

    def know(self, space: Space) -> None:
        """Take all columns in use for those that there are sources of, once these were restored."""
        self._known = (space.raws_used, space.layout.width)

    def remember(self, values: Tensor, before: int) -> None:
        """Keep the values of at most RECENT rows, before which there were `before`, for thresholds to be drawn from."""
        held, rows = values.shape
        end = min(before % RECENT + rows, RECENT)
        first = end - before % RECENT
        self.recent[before % RECENT : end, :held] = values[:, :first].t()
        self.recent[: rows - first, :held] = values[:, first:].t()

    def rescale(self, factor: float, shift: float, space: Space) -> None:
        """Have thresholds in estimates of the target follow its units: what was t is now factor · t + shift."""
        roles = [MOST_RAWS + place for place, role in enumerate(space.layout.roles) if role is Role.ESTIMATE]
        estimates = torch.isin(self.sources, to_device(np.array(roles, np.int64), self.sources.device))
        if not len(estimates):
            return
        chosen = estimates[self.columns.clamp(0, len(estimates) - 1).long()]
        self.thresholds = torch.where(chosen, self.thresholds * factor + shift, self.thresholds)
        recent = self.recent[:, : len(estimates)]
        recent.copy_(torch.where(estimates, recent * factor + shift, recent))

    def in_use(self) -> Tensor:
        """Return which slots have a test, bool, shape (TESTS, count)."""
        return self.thresholds < torch.inf

    def lacking(self, level: int) -> Tensor:
        """Return which slots have no test, but are to have one in trees of `level` tests at most."""
        return ~self.in_use() & (self._slots < self.depths.clamp(max=level))

    def remove(self, inputs: Sequence[int], raws: Sequence[int]) -> Tensor:
        """Forget all values of some dense and raw columns; return which slots had a test of one, and have none now."""
        sources = np.array([*raws, *(MOST_RAWS + place for place in inputs)], np.int64)
        removed = torch.isin(self.sources, to_device(sources, self.sources.device))
        self.recent[:, : len(removed)].masked_fill_(removed, torch.nan)
        gone = removed[self.columns.clamp(0, len(removed) - 1).long()] & self.in_use()
        self.thresholds.masked_fill_(gone, torch.inf)
        return gone

    def draw(self, slots: Tensor, use: Tensor, rows: int, turn: int) -> None:
        """Give new tests to slots.

        Parameters
        ----------
        slots
            bool, shape (TESTS, count).
        use
            float32, shape (columns,), above 0: how useful tests of each column are.
        rows
            How many rows are remembered.
        turn
            How often this was done before, from 1: random numbers follow from it and the seed.
        """
        random = np.random.Generator(np.random.PCG64([self._seed, turn]))
        chance = to_device(random.random(self.columns.shape, np.float32), use.device)
        row = to_device(random.integers(0, rows, self.columns.shape), use.device)
        share = (use / use.max()).pow(SHARPNESS)
        share = torch.lerp(share / share.sum(), torch.full_like(share, 1 / len(share)), UNIFORM)
        column = torch.searchsorted(share.cumsum(0), chance).clamp_(max=len(use) - 1)
        value = self.recent[row, column].nan_to_num_(-torch.inf)
        self.columns = torch.where(slots, column.int(), self.columns)
        self.thresholds = torch.where(slots, value, self.thresholds)
