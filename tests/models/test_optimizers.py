"""The optimizers take the steps that PyTorch's own take."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, optim

from models.learner import LearnerOptions
from models.optimizers import OPTIMIZERS

RATE = 0.05
REFERENCES: dict[str, Callable[[list[Tensor], float], optim.Optimizer]] = {
    "sgd": lambda given, decay: optim.SGD(given, lr=RATE, momentum=0.9, weight_decay=decay),
    "adam": lambda given, decay: optim.Adam(given, lr=RATE, weight_decay=decay),
    "adamw": lambda given, decay: optim.AdamW(given, lr=RATE, weight_decay=decay),
    "adagrad": lambda given, decay: optim.Adagrad(given, lr=RATE, eps=1e-8, weight_decay=decay),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_pytorch(name: str, decay: float) -> None:
    """A published optimizer's name would stand for something else."""
    made = OPTIMIZERS[name](LearnerOptions(weight_decay=decay))
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(30, generator=generator)
    reference = start.clone().requires_grad_()
    optimizer = REFERENCES[name]([reference], decay)
    block = torch.zeros((1 + made.memories, 30))
    block[0] = start
    for step in range(1, 30):
        gradient = torch.randn(30, generator=generator)
        reference.grad = gradient.clone()
        optimizer.step()
        made.step(block, gradient, torch.tensor(RATE), step)
    # AdaGrad's memory fades a little within 30 steps.
    tolerance: dict[str, Any] = {"rtol": 1e-2, "atol": 1e-2} if name == "adagrad" else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(block[0], reference.detach(), **tolerance)


def test_adagrad_never_stops_learning() -> None:
    """A model that never stops would, after some weeks, learn nothing any more."""
    made = OPTIMIZERS["adagrad"](LearnerOptions())
    block, rate = torch.zeros((2, 1)), torch.tensor(1.0)
    block[1] = 1e6  # what a million steps would have left
    for step in range(1, 40_000):
        made.step(block, torch.ones(1), rate, step)
    before = float(block[0])
    made.step(block, torch.ones(1), rate, 40_000)
    assert before - float(block[0]) > 0.005
