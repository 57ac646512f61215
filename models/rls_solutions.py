"""Ridge regressions that forget at several speeds, solved in turns: the arithmetic of ``rls.py``.

For each half-life there are the sums A = Σ weight · x xᵀ and B = Σ weight · x yᵀ, in which older rows count less; for
each pair of a half-life and a ridge there is a solution W of (A + ridge) W = B. It is recursive least squares with
forgetting, but the sums are what is kept, not their inverse, for that drifts away in float32. A sum costs little, a
solution a Cholesky factorisation: so only some are due at a time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.expert import Tensors


class Regression(NamedTuple):
    """One of the solutions.

    Attributes
    ----------
    memory
        Place of its half-life in :data:`HALF_LIVES`.
    ridge
        Rows, roughly, that coefficients of 0 count as much as.
    """

    memory: int
    ridge: float


HALF_LIVES = (500.0, 4_000.0, 200_000.0)
"""In rows; the last one is as good as none, and keeps the sums within what float32 can add a row to."""

REGRESSIONS = (
    Regression(0, 20.0),
    Regression(0, 400.0),
    Regression(1, 1.0),
    Regression(1, 400.0),
    Regression(2, 1.0),
    Regression(2, 20.0),
)
"""Which is best differs by stream, widely: smooth functions without noise want little ridge, noisy ones and those with
hashed strings much."""

QUICK, SLOW = (0, 1), (2, 3, 4, 5)
"""Solutions that forget soon, of which each block has one solved, and the others, which have a turn once a round."""


def due(block: int, round_length: int) -> set[int]:
    """Return which solutions are solved for a block: one that forgets soon, and at most one of the others.

    Parameters
    ----------
    block
        Its number.
    round_length
        Blocks in which each of the others has one turn; a multiple of 4.
    """
    turn, rest = divmod(block % round_length * len(SLOW), round_length)
    quick = QUICK[block % len(QUICK)]
    return {quick} if rest else {quick, SLOW[turn]}


JITTER = 3e-6  # times the mean diagonal: what float32 needs of a ridge where the sums are large


class Solutions:
    """Sums and solutions.

    Parameters
    ----------
    device
        Where they are.

    Attributes
    ----------
    squares, products
        A and B: float32, shapes (half-lives, columns, columns) and (half-lives, columns, outputs).
    weights
        W: float32, shape (columns, solutions, outputs).
    known
        1 for each solution that there is, and otherwise 0: float32, shape (solutions,).
    """

    def __init__(self, device: torch.device) -> None:
        memories, solutions = len(HALF_LIVES), len(REGRESSIONS)
        self._half_lives = torch.tensor(HALF_LIVES, device=device).view(-1, 1, 1)
        self._ridges = torch.tensor([regression.ridge for regression in REGRESSIONS], device=device).view(-1, 1)
        self._memories = torch.tensor([regression.memory for regression in REGRESSIONS], device=device)
        self.squares = torch.zeros((memories, 0, 0), device=device)
        self.products = torch.zeros((memories, 0, 0), device=device)
        self.weights = torch.zeros((0, solutions, 0), device=device)
        self.known = torch.zeros(solutions, device=device)

    def grow(self, columns: int, outputs: int) -> None:
        """Make room for so many columns and outputs: zeros, as if they had always been there and been zero."""
        held, answered = self.products.shape[1:]
        more, others = columns - held, outputs - answered
        if more or others:
            self.squares = pad(self.squares, (0, more, 0, more))
            self.products = pad(self.products, (0, others, 0, more))
            self.weights = pad(self.weights, (0, others, 0, 0, 0, more))

    def clear(self, columns: Tensor) -> None:
        """Forget all that belongs to some columns, int64."""
        self.squares.index_fill_(1, columns, 0.0).index_fill_(2, columns, 0.0)
        self.products.index_fill_(1, columns, 0.0)
        self.weights.index_fill_(0, columns, 0.0)

    def rescale(self, factor: float, shift: float) -> None:
        """Go on with targets that are factor · t + shift; the first column is the constant 1."""
        self.products.mul_(factor).add_(self.squares[:, :, :1], alpha=shift)
        self.weights.mul_(factor)
        self.weights[0].add_(self.known.unsqueeze(1), alpha=shift)

    def answers(self, features: Tensor) -> Tensor:
        """Return what the solutions say of rows, float32, shape (rows, solutions, outputs)."""
        return (features @ self.weights.flatten(1)).view(-1, *self.weights.shape[1:])

    def add(self, features: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Add rows to the sums: features, shape (rows, columns), targets, shape (rows, outputs), and weights."""
        weighted = (features * weights.unsqueeze(1)).T
        kept = torch.pow(0.5, len(features) / self._half_lives)
        self.squares.mul_(kept).add_(weighted @ features)
        self.products.mul_(kept).add_(weighted @ targets)

    def solve(self, due: Sequence[int]) -> None:
        """Solve anew for some of the solutions; where that fails, the one before stays."""
        places = torch.tensor(due, device=self.known.device)
        memories = self._memories[places]
        squares, products = self.squares.index_select(0, memories), self.products.index_select(0, memories)
        diagonal = squares.diagonal(0, 1, 2)
        diagonal += self._ridges[places] + JITTER * diagonal.mean(1, keepdim=True)
        factor, failed = torch.linalg.cholesky_ex(squares)
        solved = torch.cholesky_solve(products, factor)
        sound = (failed == 0) & solved.isfinite().flatten(1).all(1)
        before = self.weights.index_select(1, places)
        after = torch.where(sound.view(1, -1, 1), solved.transpose(0, 1), before)
        self.weights.index_copy_(1, places, after)
        self.known.index_copy_(0, places, torch.maximum(self.known[places], sound.float()))

    def published(self) -> dict[str, Tensor]:
        """Return what :meth:`answers` reads."""
        return {"weights": self.weights, "known": self.known}

    def attach(self, tensors: Tensors) -> None:
        """Answer from published tensors."""
        self.weights, self.known = tensors["weights"], tensors["known"]

    def state(self) -> dict[str, Tensor]:
        """Return all that it is."""
        return {"squares": self.squares, "products": self.products, **self.published()}

    def restore(self, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
        self.attach(tensors)
        self.squares, self.products = tensors["squares"], tensors["products"]
