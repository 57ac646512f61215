"""Random oblivious trees: which leaf of each a row falls into. The features that ``leaves.py`` is a linear model of.

An oblivious tree asks the same test of all nodes of a level, so a leaf's number is its tests' answers as bits, and all
trees are computed at once. A test compares one raw column with a threshold; a value that is missing is above none, and
the threshold that is below all values tells the missing from the rest. A tree may have fewer tests than slots.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.devices import to_device
from models.encoder_layout import rounded_up

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
    recent
        float32, shape (RECENT, raws): the last raw rows, a ring.
    """

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        self._seed = seed
        depths = np.random.Generator(np.random.PCG64([seed, 0])).integers(FEWEST, TESTS + 1, count)
        self.depths = to_device(depths, device)
        self.columns = torch.zeros((TESTS, count), dtype=torch.int32, device=device)
        self.thresholds = torch.full((TESTS, count), torch.inf, device=device)
        self.recent = torch.empty((RECENT, 0), device=device)
        self._numbers = torch.arange(count, device=device)
        self._slots = torch.arange(TESTS, device=device).unsqueeze(1)

    def places(self, raw: Tensor) -> Tensor:
        """Return each row's leaf in each tree, int64, shape (rows, count): leaf · count + tree.

        Whatever columns and thresholds are, reading stays within `raw`, and the result within LEAVES · count.
        """
        rows, raws = raw.shape
        if not raws:
            return self._numbers.expand(rows, -1)
        columns = self.columns.clamp(0, raws - 1).view(-1)
        values = raw.t().contiguous().index_select(0, columns).view(*self.columns.shape, rows)
        above = (values > self.thresholds.unsqueeze(2)).view(torch.uint8)
        leaf = above[-1].clone()
        for slot in range(TESTS - 2, -1, -1):  # Horner's scheme
            leaf.add_(leaf).add_(above[slot])
        return leaf.t().long().mul_(len(self._numbers)).add_(self._numbers)

    def grow(self, raws: int) -> None:
        """Make room for raw columns."""
        wider = rounded_up(raws) if raws else 0
        if wider > self.recent.shape[1]:
            grown = self.recent.new_full((RECENT, wider), torch.nan)
            grown[:, : self.recent.shape[1]] = self.recent
            self.recent = grown

    def remember(self, raw: Tensor, before: int) -> None:
        """Keep at most RECENT raw rows, before which there were `before`, for thresholds to be drawn from."""
        end = min(before % RECENT + len(raw), RECENT)
        first = end - before % RECENT
        self.recent[before % RECENT : end, : raw.shape[1]] = raw[:first]
        self.recent[: len(raw) - first, : raw.shape[1]] = raw[first:]

    def in_use(self) -> Tensor:
        """Return which slots have a test, bool, shape (TESTS, count)."""
        return self.thresholds < torch.inf

    def lacking(self, level: int) -> Tensor:
        """Return which slots have no test, but are to have one in trees of `level` tests at most."""
        return ~self.in_use() & (self._slots < self.depths.clamp(max=level))

    def remove(self, raws: Sequence[int]) -> Tensor:
        """Forget all values of some raw columns; return which slots had a test of one, and have none any more."""
        removed = to_device(np.array(raws, np.int32), self.columns.device)
        self.recent[:, removed.long()] = torch.nan
        gone = torch.isin(self.columns, removed) & self.in_use()
        self.thresholds.masked_fill_(gone, torch.inf)
        return gone

    def draw(self, slots: Tensor, use: Tensor, rows: int, turn: int) -> None:
        """Give new tests to slots.

        Parameters
        ----------
        slots
            bool, shape (TESTS, count).
        use
            float32, shape (raws in use,): how useful tests of each column are; not all of them 0.
        rows
            How many raw rows are remembered.
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
