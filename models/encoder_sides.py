"""Targets as columns that can be averaged: *sides*. For statistics of categories and for what the stream did of late.

A number is one side. So are two classes: whether it was the second. Of more classes there are eight sides, whether it
was one of the classes whose index leaves this remainder: for up to eight classes one each, and always the same memory.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.examples import Task

Matrix = NDArray[np.float64]

GROUPS = 8
"""Sides of a multiclass task."""


class Scale(NamedTuple):
    """Mean and standard deviation of the target so far."""

    mean: float
    deviation: float


class Scales(NamedTuple):
    """The same of each side: float64, shape (sides,) each."""

    means: Matrix
    deviations: Matrix

    def standard(self, values: Matrix) -> Matrix:
        """Return values, shape (…, sides), in units of the scale: 0 where all targets were the same."""
        known = self.deviations > 0
        return (values - self.means) * np.divide(1.0, self.deviations, out=np.zeros_like(self.means), where=known)


def sides_of(task: Task) -> int:
    """Return how many sides the targets of a task have."""
    return GROUPS if task is Task.MULTICLASS else 1


def as_sides(targets: Matrix, sides: int) -> Matrix:
    """Return targets (numbers, or indices of classes), shape (rows,), as float64, shape (rows, sides)."""
    if sides == 1:
        return targets[:, None]
    found: Matrix = (targets[:, None].astype(np.int64) % sides == np.arange(sides)).astype(np.float64)
    return found
