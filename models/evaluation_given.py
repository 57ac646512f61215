"""Rows that wait to be scored, as they were given: what stands between an update and the evaluation's ring.

An update only keeps what it was given, until there are rows for a block, for scoring many rows costs little more than
scoring few (``evaluation.py``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.evaluation_served import OWN


class Given(NamedTuple):
    """What :meth:`models.evaluation.Prequential.update` was given, on the device; and the weights to score by."""

    predictions: Tensor
    targets: Tensor
    weights: Tensor
    losses: Tensor | None
    scored: Tensor
    ages: Tensor | None

    def part(self, start: int, stop: int) -> "Given":
        """Return rows `start` to `stop`."""
        rows, losses, ages = slice(start, stop), self.losses, self.ages
        given = (self.predictions[rows], self.targets[rows], self.weights[rows])
        losses, ages = (None if each is None else each[rows] for each in (losses, ages))
        return Given(*given, losses, self.scored[rows], ages)

    def fits(self, other: "Given") -> bool:
        """Return whether both can be scored together."""
        same = self.predictions.shape[1:] == other.predictions.shape[1:]
        return (
            same
            and self.predictions.dtype == other.predictions.dtype
            and (self.losses is None) == (other.losses is None)
        )


def ages_of(alike: Sequence[Given]) -> Tensor:
    """Return how old the answers were by which all these rows are scored, float32, shape (rows,)."""
    device = alike[0].targets.device
    if all(one.ages is None for one in alike):
        return torch.full((sum(len(one.targets) for one in alike),), OWN, device=device)
    ages = [torch.full((len(one.targets),), OWN, device=device) if one.ages is None else one.ages for one in alike]
    return torch.cat(ages)
