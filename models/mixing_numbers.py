"""Mixing for numbers: values, and a loss between squared and absolute. One of the two kinds of ``mixing_blend.py``."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.expert import Tensors
from models.moments import OUTLIER

KNEES = {"mse": 1e3, "mae": 0.1}
"""Loss → errors beyond which it is the absolute error, in mean errors; for other losses 1."""

HALF_LIFE = 1_000.0  # rows after which an error counts half in the mean error
LEAST_ERROR = 1e-6  # in units of the target's scale: answers that are always right must not be divided by 0


class NumberBlend:
    """Numbers: the loss is the pseudo-Huber one (Charbonnier et al. 1997), in units of the recent mean error.

    Squared near the target and absolute far from it: what is learned lies between mean and median, few rows far out
    do not decide, and how hard a target is to predict does not matter to how fast is learned. The Newton step is the
    one of iteratively reweighted least squares: errors count 1/√(1 + (error/knee)²).

    Parameters
    ----------
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Where to.
    """

    hedge_rates: ClassVar[Sequence[float]] = (0.3, 0.03)
    choice_rate: ClassVar[float] = 0.1

    def __init__(self, loss: str, device: torch.device) -> None:
        self._knee = KNEES.get(loss, 1.0)
        self._errors = torch.ones(2, device=device)  # sum of absolute errors, and rows; as if one had been 1

    def clean(self, answers: Sequence[Tensor], prior: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        stacked = torch.stack(list(answers), 1)
        return torch.where(stacked.isnan(), prior, stacked).clamp_(-OUTLIER, OUTLIER)

    def bounded(self, targets: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        return targets.clamp(-OUTLIER, OUTLIER)

    def by_shares(self, answers: Tensor, shares: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        return shares.exp() @ answers

    def by_weights(self, answers: Tensor, weights: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        return weights @ answers

    def settle(self, mixed: Tensor, targets: Tensor, relative: Tensor) -> None:
        """See :class:`models.mixing_blend.Blend`."""
        wrong = ((mixed[:, 0, 0] - targets).abs_() * relative).sum()
        self._errors = self._errors * 0.5 ** (len(targets) / HALF_LIFE) + torch.stack([wrong, relative.sum()])

    def level(self, loss: Tensor) -> Tensor:  # noqa: ARG002 - losses are in units of the error itself
        """See :class:`models.mixing_blend.Blend`: the mean error."""
        return self._errors[0] / self._errors[1]

    def in_losses(self, risen: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`: those are of half the squared error."""
        return 2 * risen / self.level(risen).clamp(min=LEAST_ERROR).square()

    def rescale(self, factor: float) -> float:
        """See :class:`models.mixing_blend.Blend`."""
        self._errors = self._errors * torch.tensor([abs(factor), 1.0], device=self._errors.device)
        return factor**2

    def _scaled(self, errors: Tensor) -> Tensor:
        """Return errors in units of the knee."""
        mean = (self._errors[0] / self._errors[1]).clamp_(min=LEAST_ERROR)
        return errors / (mean * self._knee)

    def losses(self, answers: Tensor, targets: Tensor) -> Tensor:
        """See :class:`models.mixing_blend.Blend`."""
        squares = self._scaled(answers.squeeze(2) - targets.unsqueeze(1)).square_()
        # √(1 + x²) − 1, but exact where x is small.
        return squares / (squares + 1.0).sqrt_().add_(1.0).mul_(0.5 / self._knee**2)

    def derivatives(self, answers: Tensor, stacked: Tensor, targets: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`models.mixing_blend.Blend`: in units of the mean error."""
        inputs = answers.squeeze(2)
        errors = stacked.squeeze(2) - targets.unsqueeze(1)
        counted = self._scaled(errors).square_().add_(1.0).rsqrt_().mul_(relative.unsqueeze(1)).T
        gradient = (counted * errors.T) @ inputs
        return gradient, (inputs.T * counted.unsqueeze(1)) @ inputs

    def state(self) -> dict[str, Tensor]:
        """See :class:`models.mixing_blend.Blend`."""
        return {"errors": self._errors}

    def restore(self, tensors: Tensors) -> None:
        """See :class:`models.mixing_blend.Blend`."""
        self._errors = tensors["errors"]
