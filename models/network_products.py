"""Matrix products of layers that have few outputs, such as a network's last: laid out with rows along the longest side.

A product with one or a few columns takes libraries for matrices up to ten times as long as its transpose: they compute
in blocks of dozens of columns. So outputs, and gradients with respect to them, lie in memory as (copies, outputs, rows)
here, and are handed on as views of the usual shape, (copies, rows, outputs). The arithmetic is the same.
"""

import torch
from torch import Tensor


def outputs_of(bias: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """Return bias + flow · weight.

    Parameters
    ----------
    bias
        Shape (copies, outputs).
    flow
        Shape (copies, rows, inputs).
    weight
        Shape (copies, inputs, outputs).

    Returns
    -------
    Tensor
        Shape (copies, rows, outputs).
    """
    return torch.baddbmm(bias.unsqueeze(2), _turned(weight), flow.mT).mT


def add_outputs(outputs: Tensor, flow: Tensor, weight: Tensor, amount: float = 1.0) -> None:
    """Add flow · weight, so many times, to outputs that :func:`outputs_of` has returned."""
    outputs.mT.baddbmm_(_turned(weight), flow.mT, alpha=amount)


def write_gradient(written: Tensor, flow: Tensor, gradient: Tensor) -> None:
    """Write the gradient of a layer's weights.

    Parameters
    ----------
    written
        Shape (copies, inputs, outputs); changed.
    flow
        What went into the layer, shape (copies, rows, inputs).
    gradient
        With respect to what came out, shape (copies, rows, outputs).
    """
    if written.shape[2] == 1:
        torch.bmm(gradient.mT, flow, out=written.mT)
    else:
        written.mT.copy_(torch.bmm(gradient.mT, flow))


def before(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient with respect to what went into a layer, shape (copies, rows, inputs)."""
    return gradient * weight.mT if weight.shape[2] == 1 else torch.bmm(gradient, weight.mT)


def _turned(weight: Tensor) -> Tensor:
    """Return weights with rows and columns exchanged, in memory too where there are several of both."""
    return weight.mT if weight.shape[2] == 1 else weight.mT.contiguous()
