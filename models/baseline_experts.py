"""Experts that look at no feature: the target's average, and its last value. The floor beneath every other expert.

They cost next to nothing, and where labels depend on those before them, as prices and weather do, the second is worth
much; the mixture (``mixture.py``) finds out where.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.effort import Cost
from models.expert import Defaults, Encoded, Space, Stateless, Tensors
from models.learner import Json

HALF_LIFE = 1_000.0  # rows after which it counts half how right the last label was
ONE = 1.0  # row, that it is taken to have been right, and as many that it was wrong
LEAST = 1e-3  # probability


class PriorExpert(Stateless):
    """Answers the classes' shares, or the mean; see :class:`models.expert.Expert`."""

    cost = Cost.NOTHING

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        return prior.expand(len(rows), -1)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`: nothing."""


class LastExpert(Defaults):
    """Answers the last label, as surely as it has lately been right with that.

    How right it was is measured at the delay of the labels: by the label before a microbatch for all of its rows.

    Parameters
    ----------
    device
        Where to.
    numeric
        Whether labels are numbers. The last one is then multiplied by its recent correlation with those after it.
    """

    cost = Cost.NOTHING

    def __init__(self, device: torch.device, *, numeric: bool) -> None:
        self._numeric = numeric
        # The last label (an index of a class; -1 before the first), what was right, and what could have been.
        self._memory = torch.tensor([0.0, 0.0, ONE] if numeric else [-1.0, ONE, 2 * ONE], device=device)

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`: a label takes no more room."""

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        units = torch.tensor([factor, factor**2, factor**2], device=self._memory.device)
        self._memory = self._memory * units
        self._memory[0] += shift

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        last, right, possible = self._memory.unbind()
        sure = right / possible
        if self._numeric:
            return (last * sure.clamp(0.0, 1.0)).expand(len(rows), 1)
        if len(prior) < 2:
            return prior.expand(len(rows), -1)
        sure = sure.clamp(LEAST, 1 - LEAST)
        is_last = torch.arange(len(prior), device=prior.device) == last
        # What is left goes to the other classes by their shares.
        others = prior.masked_fill(is_last, -torch.inf).log_softmax(0) + torch.log1p(-sure)
        known = torch.where(is_last, sure.log(), others)
        return torch.where(is_last.any(), known, prior).expand(len(rows), -1)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it looks at labels alone
        """See :class:`models.expert.Expert`."""
        last, count = self._memory[0], len(targets)
        if self._numeric:
            products = torch.stack([targets * last, (last * last).expand(count)])
        else:
            products = torch.stack([(targets == last).float(), (last >= 0).float().expand(count)])
        summed = self._memory[1:] * 0.5 ** (count / HALF_LIFE) + products @ weights
        self._memory = torch.cat([targets[-1:].float(), summed])

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return {"memory": self._memory}

    def attach(self, description: Json, tensors: Tensors) -> None:  # noqa: ARG002 - there is nothing to describe
        """See :class:`models.expert.Expert`."""
        self._memory = tensors["memory"]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        return {}, {"memory/memory": self._memory}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:  # noqa: ARG002 - there is nothing else
        """See :class:`models.expert.Expert`."""
        self._memory = tensors["memory/memory"]

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [self._memory]
