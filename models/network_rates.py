"""Copies of a network that learn at different rates, and how much each is heeded: what ``learning_rate: auto`` means.

Which rate is right depends on the stream and changes with it. So several are learned at once, in one batched update,
and the answers are mixed by fixed shares (Herbster and Warmuth, 1998): each copy's share falls with its losses on new
rows, before it learns any of the microbatch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.errors import LearnerOptionsInvalid
from models.fixed_share import dealt

STEPS = (-1, 0, 1)
"""Rates beside each other, as powers of :data:`BETWEEN` times the network's default."""

BETWEEN = math.sqrt(10)
LEAST = 1e-37  # probability that a smaller one counts as: float32 has hardly any below it,
WORST = 100.0  # and squared error that a larger one counts as
APART = 0.1  # by which logarithms of shares differ if there is something in it
NOTHING = -1e4  # logarithm of a share of nothing at all
HEDGE = 0.1  # what losses are multiplied by: labels come late and together, so losses say less than their number


def several_rates(default: float) -> list[float]:
    """Return the learning rates to be tried beside each other."""
    return [default * BETWEEN**power for power in STEPS]


def positive(key: str, value: float | str, default: float, *, zero: bool = False) -> float:
    """Return an option's value, or the default where it is ``auto``.

    Raises
    ------
    LearnerOptionsInvalid
    """
    if value == "auto":
        return default
    if not isinstance(value, int | float) or not (0 < value < float("inf") or (zero and value == 0)):
        raise LearnerOptionsInvalid(f"{key}: {value!r} is not {'0, ' if zero else ''}a positive number or auto")
    return value


class RateShares(NamedTuple):
    """How much each copy is heeded.

    Attributes
    ----------
    shares
        Logarithms of the shares, float32, shape (copies,); changed in place.
    """

    shares: Tensor

    @classmethod
    def equal(cls, copies: int, device: torch.device) -> "RateShares":
        """Return equal shares."""
        return cls(torch.full((copies,), -math.log(copies), device=device))

    def best(self) -> int:
        """Return the copy that is heeded most; the one at the default rate where next to nothing tells them apart."""
        shares, default = self.shares.clone(), len(self.shares) // 2
        shares[default] += APART
        return int(shares.argmax())

    def heed(self, copy: int | None = None) -> None:
        """Heed one copy alone, or all alike from now on."""
        self.shares.fill_(-math.log(len(self.shares)) if copy is None else NOTHING)
        if copy is not None:
            self.shares[copy] = 0.0

    def mixed(self, answers: Tensor, *, probabilities: bool) -> Tensor:
        """Return the mean of the copies' answers, shape (copies, rows, columns), by shares: shape (rows, columns).

        Parameters
        ----------
        answers
            Of the copies; what is not a number is passed over by the others. Where no copy is sound, neither is the
            mean: whoever asks takes care of that.
        probabilities
            Whether they are probabilities; the mean's logarithms are returned.
        """
        if probabilities:
            mean = (self.shares.exp() @ answers.nan_to_num(0.0).flatten(1)).view(answers.shape[1:])
            return mean.div_(mean.sum(1, keepdim=True)).clamp_(min=LEAST).log_()
        if len(self.shares) == 1:
            return answers[0]
        sound = torch.isfinite(answers)
        weights = sound * self.shares.exp().view(-1, 1, 1)
        return (answers.where(sound, 0.0) * weights).sum(0).div_(weights.sum(0))

    def learn(self, answers: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Take in what the copies answered for rows that none of them has learned.

        Parameters
        ----------
        answers
            Probabilities where targets are indices of classes, otherwise values; float32, shape (copies, rows,
            columns).
        targets, weights
            See :class:`models.expert.Expert`.
        """
        if targets.is_floating_point():
            losses = (answers[..., 0] - targets).square_().nan_to_num_(WORST).clamp_(max=WORST)
        else:
            of_target = answers.gather(2, targets.view(1, -1, 1).expand(len(answers), -1, 1)).squeeze(2)
            losses = of_target.nan_to_num_(0.0).clamp_(min=LEAST).log_().neg_()
        self.shares.copy_(dealt(self.shares.sub(losses @ weights, alpha=HEDGE), len(targets)))
