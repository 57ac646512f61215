"""Mixing for classes: logarithms of probabilities, and the logarithmic loss. One of the two of ``mixing_blend.py``."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.expert import Tensors

LEAST = -10.0  # logarithm of the smallest probability: no expert may be surer than that, so none can do more harm


class ClassBlend:
    """Classes: the loss is the logarithmic one."""

    # At 1, shares are what Bayes' rule makes of them; but labels come late and together: they say less than so many.
    hedge_rates: ClassVar[Sequence[float]] = (1.0, 0.1)
    choice_rate: ClassVar[float] = 0.3

    def clean(self, answers: Sequence[Tensor], prior: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        stacked = torch.stack(list(answers), 1)
        stacked = torch.where(stacked.isnan(), prior, stacked).clamp_(LEAST, 0.0)
        return stacked.log_softmax(2)

    def bounded(self, targets: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`: they are."""
        return targets

    def by_shares(self, answers: Tensor, shares: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        # No probability is so small that its exponential is 0: see LEAST.
        return (shares.exp() @ answers.exp()).log_()

    def by_weights(self, answers: Tensor, weights: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        return (weights @ answers).log_softmax(2)

    def settle(self, mixed: Tensor, targets: Tensor, relative: Tensor) -> None:
        """See :class:`models.mixing_blend.Blend`: nothing."""

    def level(self, loss: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`: that loss."""
        return loss

    def in_losses(self, risen: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`: it is one."""
        return risen

    def rescale(self, factor: float) -> float:  # noqa: ARG002 - classes have no units
        """See :class:`models.mixing_blend.Blend`: nothing."""
        return 1.0

    def losses(self, answers: Tensor, targets: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        places = targets.view(-1, 1, 1).expand(-1, answers.shape[1], 1)
        return answers.gather(2, places).squeeze(2).neg_()

    def derivatives(self, answers: Tensor, stacked: Tensor, targets: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`models.mixing_blend.Blend`.

        Those of multinomial logistic regression, whose inputs are the log probabilities.
        """
        experts = answers.shape[1]
        probable = stacked.exp()
        expected = probable @ answers.transpose(1, 2)  # rows, opinions, experts
        met = self.losses(answers, targets).unsqueeze(1)  # minus the inputs of the class that it was
        gradient = (relative @ (expected + met).flatten(1)).view(-1, experts)
        # Rows and classes become one dimension: Σ p x xᵀ − x̄ x̄ᵀ, opinion by opinion.
        inputs = answers.transpose(0, 1).reshape(experts, -1)
        scaled = (probable * relative.view(-1, 1, 1)).transpose(0, 1).reshape(stacked.shape[1], 1, -1)
        squares = (inputs * scaled) @ inputs.T
        means = expected.permute(1, 2, 0)
        return gradient, squares - (means * relative) @ means.transpose(1, 2)

    def state(self) -> dict[str, Tensor]:
        """See :class:`models.mixing_blend.Blend`: nothing."""
        return {}

    def restore(self, tensors: Tensors) -> None:
        """See :class:`models.mixing_blend.Blend`: nothing."""


def widened(before: Tensor | None, now: Tensor) -> Tensor:
    """Return the prior of before a microbatch, with room for classes that came with it.

    The one with the microbatch's own labels in it would give away what they are, most of all to the mixing.
    """
    if before is None:
        return torch.zeros_like(now).log_softmax(0)
    return torch.cat([before, now[len(before) :].clamp(max=LEAST)])
