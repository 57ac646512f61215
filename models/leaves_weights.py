"""What each leaf adds to the answer, learned by AdaGrad, and what becomes of it when its tree's tests change.

AdaGrad (Duchi, Hazan and Singer, 2011) divides each weight's rate by the root of the sum of its squared gradients: a
leaf that few rows fall into learns fast. Here the squares of some rows are summed first, from their gradients before
any of them was learned, and the rows are then learned in small steps at these rates: so nothing but answers and
weights is computed step by step.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.leaves_trees import LEAVES, TESTS

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Outputs of rows, shape (rows, width), their targets, shape (rows,), and weights, shape (rows, 1) → the gradient of
the loss with respect to the outputs."""

FIRST = 0.1
"""Added to the sum of squared gradients: rows that were right by chance must not make the rates of others unbounded."""


class Pace(NamedTuple):
    """How fast is learned.

    Attributes
    ----------
    rate
        Of a leaf whose squared gradients sum to 1.
    step
        Rows of a step.
    farthest
        How far a step may move a row's outputs, as a multiple of its gradient: no farther than where the loss is least.
        Rows that are alike share their leaves, and would move each other's outputs many times as far.
    """

    rate: float
    step: int
    farthest: float


class _Rows(NamedTuple):
    """Rows to step through.

    Attributes
    ----------
    places, targets, weights
        As in :meth:`Weights.learn`.
    rates
        Of each row's leaves, below 0: float32, shape (rows, trees, width).
    slopes
        Their gradients before any of them is learned, shape (rows, width).
    steps
        How many.
    """

    places: Tensor
    targets: Tensor
    weights: Tensor
    rates: Tensor
    slopes: Tensor
    steps: int

    def parts(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield places, targets, weights and rates step by step."""
        return zip(*(each.chunk(self.steps) for each in self[:4]), strict=True)


def bags(weights: Tensor, places: Tensor) -> Tensor:
    """Return each row's sum of the weights at its places, float32, shape (rows, width).

    Parameters
    ----------
    weights
        float32, shape (cells, width).
    places
        int32, shape (rows, trees); each below the number of cells.
    """
    if weights.shape[1] == 1:  # half the time of what is made for wide rows
        return weights.view(-1).index_select(0, places.view(-1)).view_as(places).sum(1, keepdim=True)
    return torch.nn.functional.embedding_bag(places, weights, mode="sum")


def at(cells: Tensor, places: Tensor) -> Tensor:
    """Return the cells at some places, one after the other, float32, shape (places, width)."""
    if cells.shape[1] == 1:
        return cells.view(-1).index_select(0, places).unsqueeze(1)
    return cells.index_select(0, places)


def add_at(sums: Tensor, places: Tensor, values: Tensor) -> None:
    """Add each of some values to the row of `sums` that its place names, in an order that is always the same.

    Where rows are one number wide, `sums` and `values` may as well have one dimension.
    """
    if sums.device.type != "cpu":  # sorts first; adding by index would do so in any order
        sums.index_put_((places,), values, accumulate=True)
    elif sums.dim() == 2 and sums.shape[1] == 1:  # twice as quick in one dimension
        sums.view(-1).index_add_(0, places, values.view(-1))
    else:
        sums.index_add_(0, places, values)


class Weights:
    """Weights of leaves, and the memory of learning them.

    Parameters
    ----------
    trees
        How many trees.
    device
        Where to.

    Attributes
    ----------
    values, squares
        float32, shape (LEAVES · trees, width): weights, and sums of squared gradients.
    visits
        float32, shape (LEAVES · trees,): rows that fell into each leaf, older ones counting less.
    """

    def __init__(self, trees: int, device: torch.device) -> None:
        self._trees = trees
        self.values = torch.zeros((trees * LEAVES, 0), device=device)
        self.squares = torch.zeros_like(self.values)
        self.visits = torch.zeros(trees * LEAVES, device=device)

    def grow(self, width: int) -> None:
        """Make room for more outputs; they begin at 0."""
        more = (0, width - self.values.shape[1])
        self.values = torch.nn.functional.pad(self.values, more)
        self.squares = torch.nn.functional.pad(self.squares, more)

    def rescale(self, factor: float, shift: float) -> None:
        """Have every row's sum s of weights be factor · s + shift."""
        self.values.mul_(factor).add_(shift / self._trees)
        self.squares.mul_(factor * factor)

    def learn(self, places: Tensor, targets: Tensor, weights: Tensor, gradient: Gradient, pace: Pace) -> None:
        """Learn from rows, some of them at a time.

        Parameters
        ----------
        places
            int32, shape (rows, trees).
        targets, weights, gradient
            See :data:`Gradient`.
        pace
            See :class:`Pace`.
        """
        rate, step, farthest = pace
        count, width, trees = places.shape[0], self.values.shape[1], self._trees
        flat = places.view(-1)
        slopes = gradient(bags(self.values, places), targets, weights)
        add_at(self.squares, flat, slopes.square().unsqueeze(1).expand(-1, trees, -1).reshape(-1, width))
        ones = torch.ones(len(flat), device=flat.device)
        here = torch.zeros_like(self.visits).index_add_(0, flat, ones)  # counts add up in any order
        self.visits.add_(here)
        rates = at(self.squares, flat).add_(FIRST).rsqrt_().mul_(-rate).view(count, trees, width)
        # Rows that share a leaf are taken to be spread evenly over the steps.
        sharing = here.index_select(0, flat).mul_(step / max(count, step)).clamp_(min=1.0).view(count, trees, 1)
        reach = (rates * sharing).sum(1, keepdim=True).neg_()
        rates.mul_((farthest / reach).clamp_(max=1.0))
        given = _Rows(places, targets, weights, rates, slopes, -(-count // step))
        if width == 1:
            self._take_narrow_steps(given, gradient)
        else:
            self._take_steps(given, gradient)

    def _take_steps(self, rows: "_Rows", gradient: Gradient) -> None:
        """Step through rows whose rates are known."""
        slope = rows.slopes
        for number, (fallen, target, weight, own) in enumerate(rows.parts()):
            slope = gradient(bags(self.values, fallen), target, weight) if number else slope[: fallen.shape[0]]
            add_at(self.values, fallen.view(-1), own.mul_(slope.unsqueeze(1)).view(-1, own.shape[2]))

    def _take_narrow_steps(self, rows: "_Rows", gradient: Gradient) -> None:
        """Do the same with one output, in as few operations as there can be: most of their time is being called."""
        cells, slope = self.values.view(-1), rows.slopes
        for number, (fallen, target, weight, wide) in enumerate(rows.parts()):
            flat, own = fallen.view(-1), wide.squeeze(2)
            if number:
                slope = gradient(cells.index_select(0, flat).view_as(own).sum(1, keepdim=True), target, weight)
            else:
                slope = slope[: own.shape[0]]
            add_at(cells, flat, own.mul_(slope).view(-1))

    def use(self) -> Tensor:
        """Return what each test is good for, float32, shape (TESTS, trees); 0 where it tells nothing apart.

        It is the variance of the outputs that follows from the difference of the weights on its two sides, summed over
        the rows that came lately.
        """
        found = []
        for slot in range(TESTS):
            low, high = self._sides(self.values, slot)
            seen_low, seen_high = self._sides(self.visits.unsqueeze(1), slot)
            both = seen_low * seen_high / (seen_low + seen_high).clamp_(min=1e-6)
            found.append(((high - low).square_().sum(3) * both[..., 0]).sum((0, 1)))
        return torch.stack(found)

    def merge(self, slots: Tensor) -> None:
        """Have leaves that only tests in these slots, bool, shape (TESTS, trees), tell apart become one: the lower one.

        Its weight is their mean by the squared gradients that each has met.
        """
        for slot, chosen in enumerate(slots.float().unsqueeze(2)):
            low, high = self._sides(self.values, slot)
            square_low, square_high = self._sides(self.squares, slot)
            share = square_high / (square_low + square_high).clamp_(min=1e-12)
            low.addcmul_(share.mul_(chosen), high - low)
            other = 1 - chosen
            for memory in (self.squares, self.visits.unsqueeze(1)):
                low, high = self._sides(memory, slot)
                low.addcmul_(high, chosen)
                high.mul_(other)

    def split(self, slots: Tensor) -> None:
        """Have leaves be told apart by new tests in these slots: both sides begin as what the lower one was."""
        for slot, chosen in enumerate(slots.float().unsqueeze(2)):
            low, high = self._sides(self.values, slot)
            high.lerp_(low, chosen)
            share = 1 - chosen / 2
            for memory in (self.squares, self.visits.unsqueeze(1)):
                low, high = self._sides(memory, slot)
                high.lerp_(low.mul_(share), chosen)

    def _sides(self, cells: Tensor, slot: int) -> tuple[Tensor, Tensor]:
        """Return views of cells, shape (LEAVES · trees, width), on either side of the tests in a slot.

        Their shape is (LEAVES >> (slot + 1), 1 << slot, trees, width).
        """
        pairs = cells.view(LEAVES >> (slot + 1), 2, 1 << slot, self._trees, -1)
        return pairs[:, 0], pairs[:, 1]
