"""Optimizers: gradients → parameters, as functions over one block of numbers.

A block holds, row by row, the parameters and what the optimizer remembers of each of them. It is all parameters of a
network at once, or the rows of a table that a step touched; so a step is a handful of operations whatever the number
of layers, and a step that must not count is undone by choosing the block before it. A new optimizer is one class and
one line in ``OPTIMIZERS``.
"""

import math
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

    def stepped(self, block: Tensor, gradient: Tensor, rate: Tensor, step: int) -> Tensor:
        """Return the block after a step; `block` is left as it is.

        Parameters
        ----------
        block
            float32, shape (1 + memories, …, copies, count): parameters, then memories.
        gradient
            float32, shape (…, copies, count).
        rate
            Learning rates of the copies, shape (copies, 1).
        step
            Number of the step, from 1.
        """


class Sgd:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, without dampening); L2 weight decay."""

    memories: ClassVar[int] = 1

    def __init__(self, options: LearnerOptions) -> None:
        self._momentum, self._decay = options.momentum, options.weight_decay

    def stepped(self, block: Tensor, gradient: Tensor, rate: Tensor, step: int) -> Tensor:  # noqa: ARG002 - see Optimizer
        """See :class:`Optimizer`."""
        after = torch.empty_like(block)
        gradient = _decayed(gradient, block[0], self._decay)
        velocity = torch.add(gradient, block[1], alpha=self._momentum, out=after[1])
        torch.addcmul(block[0], velocity, rate, value=-1, out=after[0])
        return after


class Adam:
    """Adam (Kingma and Ba, 2015); weight decay is part of the gradient."""

    memories: ClassVar[int] = 2
    decoupled: ClassVar[bool] = False
    betas: ClassVar = (0.9, 0.999)

    def __init__(self, options: LearnerOptions) -> None:
        self._decay = options.weight_decay

    def stepped(self, block: Tensor, gradient: Tensor, rate: Tensor, step: int) -> Tensor:
        """See :class:`Optimizer`."""
        after = torch.empty_like(block)
        (first, second), parameters = self.betas, block[0]
        if self._decay and self.decoupled:
            parameters = parameters * (1 - rate * self._decay)
        elif self._decay:
            gradient = _decayed(gradient, parameters, self._decay)
        mean = torch.lerp(block[1], gradient, 1 - first, out=after[1])
        square = torch.mul(block[2], second, out=after[2]).addcmul_(gradient, gradient, value=1 - second)
        direction = mean / square.sqrt().mul_(1 / math.sqrt(1 - second**step)).add_(EPSILON)
        torch.addcmul(parameters, direction, rate, value=-1 / (1 - first**step), out=after[0])
        return after


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

    def stepped(self, block: Tensor, gradient: Tensor, rate: Tensor, step: int) -> Tensor:  # noqa: ARG002 - see Optimizer
        """See :class:`Optimizer`."""
        after = torch.empty_like(block)
        gradient = _decayed(gradient, block[0], self._decay)
        total = torch.mul(block[1], 1 - 1 / self.MEMORY, out=after[1]).addcmul_(gradient, gradient)
        torch.addcmul(block[0], gradient / total.sqrt().add_(EPSILON), rate, value=-1, out=after[0])
        return after


def _decayed(gradient: Tensor, parameters: Tensor, decay: float) -> Tensor:
    """Return the gradient with that of L2 weight decay."""
    return torch.add(gradient, parameters, alpha=decay) if decay else gradient


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
