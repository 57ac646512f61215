"""Losses: how wrong outputs are, row by row, and what their gradient with respect to the outputs is.

Outputs of class tasks are logits, of regression standardised targets. A gradient is that of the sum of the rows'
losses; weights and the mean over rows are the training step's. A new loss is one class and one line in ``LOSSES``.
"""

from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, l1_loss, mse_loss, one_hot

from models.errors import LearnerOptionsInvalid
from models.examples import Task


class Loss(Protocol):
    """A loss of outputs, float32, shape (rows, outputs), and targets.

    Targets of classes are indices, int64, shape (rows,); those of numbers are float32, shape (rows,).
    """

    tasks: ClassVar[tuple[Task, ...]]
    """What it makes sense for."""

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, shape (rows,)."""

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the gradient of the sum of the rows' losses, in the shape of the outputs.

        These may be those of several copies of a network, shape (…, rows, outputs).
        """


class BinaryCrossEntropy:
    """Cross entropy of one logit: that of the second class."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.BINARY,)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return binary_cross_entropy_with_logits(outputs[:, 0], targets.to(outputs.dtype), reduction="none")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return torch.sigmoid(outputs).sub_(targets.unsqueeze(1))


class CrossEntropy:
    """Cross entropy of one logit for each class."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.BINARY, Task.MULTICLASS)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return cross_entropy(outputs, targets, reduction="none")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return outputs.softmax(-1).sub_(one_hot(targets, outputs.shape[-1]))


class MeanSquaredError:
    """Half of the squared error has the error as its gradient; this is the whole."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.REGRESSION,)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return mse_loss(outputs[:, 0], targets, reduction="none")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return (outputs - targets.unsqueeze(1)).mul_(2.0)


class MeanAbsoluteError:
    """The absolute error: learns the median."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.REGRESSION,)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return l1_loss(outputs[:, 0], targets, reduction="none")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return (outputs - targets.unsqueeze(1)).sign_()


class Huber:
    """Squared near the target and absolute beyond one standard deviation of the target."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.REGRESSION,)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return huber_loss(outputs[:, 0], targets, reduction="none")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return (outputs - targets.unsqueeze(1)).clamp_(-1.0, 1.0)


LOSSES: dict[str, type[Loss]] = {
    "bce": BinaryCrossEntropy,
    "ce": CrossEntropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
}
_DEFAULTS = {Task.BINARY: "bce", Task.MULTICLASS: "ce", Task.REGRESSION: "mse"}


def create_loss(name: str, task: Task) -> Loss:
    """Return the loss of that name; ``auto`` follows the task.

    Raises
    ------
    LearnerOptionsInvalid
    """
    chosen = _DEFAULTS[task] if name == "auto" else name
    fitting = [known for known, loss in LOSSES.items() if task in loss.tasks]
    if chosen not in fitting:
        raise LearnerOptionsInvalid(
            f"loss: {name!r} does not fit the task {task.value}; use auto or {', '.join(fitting)}"
        )
    return LOSSES[chosen]()
