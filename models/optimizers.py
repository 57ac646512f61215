"""Optimizers: gradients → parameters, as functions over one block of numbers.

A block holds, row by row, the parameters and what the optimizer remembers of each of them. It is all parameters of a
network at once, or the rows of a table that a step touched; so a step is a handful of operations whatever the number
of layers, and as networks are small, it is their number that costs. A new optimizer is one class and one line in
``OPTIMIZERS``.
"""

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from models.errors import LearnerOptionsInvalid
from models.learner import LearnerOptions

EPSILON = 1e-8


class Optimizer(Protocol):
    """A step of gradient descent.

    Parameters
    ----------
    options
        ``momentum`` and ``weight_decay`` are used.
    """

    memories: ClassVar[int]
    """Numbers remembered for each parameter, 0 at first."""

    def __init__(self, options: LearnerOptions) -> None: ...

    def step(self, block: Tensor, gradient: Tensor, rate: Tensor, number: int) -> None:
        """Take a step.

        Parameters
        ----------
        block
            float32, shape (1 + memories, …, copies, count): parameters, then memories; changed.
        gradient
            float32, shape (…, copies, count); overwritten.
        rate
            Learning rates of the copies, shape (copies, 1).
        number
            Of the step, from 1.
        """


class Sgd:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, without dampening); L2 weight decay."""

    memories: ClassVar[int] = 1

    def __init__(self, options: LearnerOptions) -> None:
        self._momentum, self._decay = options.momentum, options.weight_decay

    def step(self, block: Tensor, gradient: Tensor, rate: Tensor, number: int) -> None:  # noqa: ARG002 - see Optimizer
        """See :class:`Optimizer`."""
        parameters, velocity = block.unbind(0)
        _decay(gradient, parameters, self._decay)
        velocity.mul_(self._momentum).add_(gradient)
        parameters.addcmul_(velocity, rate, value=-1)


class Adam:
    """Adam (Kingma and Ba, 2015); weight decay is part of the gradient."""

    memories: ClassVar[int] = 2
    decoupled: ClassVar[bool] = False
    betas: ClassVar = (0.9, 0.999)

    def __init__(self, options: LearnerOptions) -> None:
        self._decay = options.weight_decay

    def step(self, block: Tensor, gradient: Tensor, rate: Tensor, number: int) -> None:
        """See :class:`Optimizer`."""
        (first, second), (parameters, mean, square) = self.betas, block.unbind(0)
        if self._decay and self.decoupled:
            parameters.mul_(1 - rate * self._decay)
        elif self._decay:
            _decay(gradient, parameters, self._decay)
        # PyTorch's kernel reads and writes each number once. From 0, at a rate of 1: what the copies' rates multiply.
        step, taken = torch.zeros_like(gradient), torch.full((), float(number), device=gradient.device)
        torch._fused_adam_(
            [step], [gradient], [mean], [square], [], [taken], lr=1.0, beta1=first, beta2=second, weight_decay=0.0,
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip
        parameters.addcmul_(step, rate)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    decoupled: ClassVar[bool] = True


class Adagrad:
    """AdaGrad (Duchi, Hazan and Singer, 2011); L2 weight decay.

    The sum of squared gradients fades over ``MEMORY`` steps: as it is published, AdaGrad learns ever less, and on a
    stream that never ends, in the end nothing.
    """

    memories: ClassVar[int] = 1
    MEMORY: ClassVar[float] = 10_000.0

    def __init__(self, options: LearnerOptions) -> None:
        self._decay = options.weight_decay

    def step(self, block: Tensor, gradient: Tensor, rate: Tensor, number: int) -> None:  # noqa: ARG002 - see Optimizer
        """See :class:`Optimizer`."""
        parameters, total = block.unbind(0)
        _decay(gradient, parameters, self._decay)
        total.mul_(1 - 1 / self.MEMORY).addcmul_(gradient, gradient)
        spread = total.sqrt().add_(EPSILON)
        parameters.addcdiv_(gradient.mul_(rate), spread, value=-1)


def _decay(gradient: Tensor, parameters: Tensor, decay: float) -> None:
    """Add the gradient of L2 weight decay."""
    if decay:
        gradient.add_(parameters, alpha=decay)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": Sgd, "adam": Adam, "adamw": AdamW, "adagrad": Adagrad}


def create_optimizer(name: str, options: LearnerOptions) -> Optimizer:
    """Return the optimizer of that name.

    Raises
    ------
    LearnerOptionsInvalid
    """
    if name not in OPTIMIZERS:
        raise LearnerOptionsInvalid(f"optimizer: {name!r} is not known; use auto, {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](options)
