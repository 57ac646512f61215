"""What mixing needs to know of a task: :class:`Blend`, between ``mixing.py`` and its two kinds of answers.

Answers of several experts, or opinions, are one tensor of shape (rows, experts, columns): logarithms of probabilities
with a column for each class (``mixing_classes.py``), or values in units of the target's scale with one column
(``mixing_numbers.py``).
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from torch import Tensor

from models.expert import Tensors


class Blend(Protocol):
    """How answers are mixed, and how wrong they are. Memory is on the device; nothing waits for it."""

    hedge_rates: ClassVar[Sequence[float]]
    """What losses are multiplied by where experts' shares are made of them: one for each set of shares."""
    choice_rate: ClassVar[float]
    """The same for the opinions' shares."""

    def clean(self, answers: Sequence[Tensor], prior: Tensor) -> Tensor:
        """Return the answers of experts as one tensor: bounded, and the prior where they are not numbers."""

    def bounded(self, targets: Tensor) -> Tensor:
        """Return the targets within what can be answered."""

    def by_shares(self, answers: Tensor, shares: Tensor) -> Tensor:
        """Return means of the answers by shares, whose logarithms are given, shape (sets, experts).

        Returns
        -------
        Tensor
            Shape (rows, sets, columns).
        """

    def by_weights(self, answers: Tensor, weights: Tensor) -> Tensor:
        """Return the answers stacked by weights, shape (opinions, experts); shape (rows, opinions, columns)."""

    def settle(self, mixed: Tensor, targets: Tensor, relative: Tensor) -> None:
        """Learn how large errors are, from the mixed answer, shape (rows, 1, columns)."""

    def level(self, loss: Tensor) -> Tensor:
        """Return how large errors are of late, shape (), where the mean loss is `loss`."""

    def in_losses(self, risen: Tensor) -> Tensor:
        """Return what rose by the measure of :meth:`derivatives` as a rise of the loss."""

    def rescale(self, factor: float) -> float:
        """Go on in other units of the target; return what the weights' curvature is to be multiplied by."""

    def losses(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how wrong answers are, float32, shape (rows, experts)."""

    def derivatives(self, answers: Tensor, stacked: Tensor, targets: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Return gradient and curvature of the sum of the losses by the weights, rows counting as `relative` says.

        Parameters
        ----------
        answers, stacked
            The experts', and what :meth:`by_weights` made of them, shape (rows, opinions, columns).
        targets, relative
            Of the rows.

        Returns
        -------
        gradient
            Shape (opinions, experts).
        curvature
            Positive semidefinite, shape (opinions, experts, experts).
        """

    def state(self) -> dict[str, Tensor]:
        """Return what it remembers."""

    def restore(self, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
