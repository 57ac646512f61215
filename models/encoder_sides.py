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
    """The same of each side: float64, shape (sides,) each.

    Attributes
    ----------
    means
        Of the sides.
    factors
        1 over the standard deviation; 0 where all targets were the same.
    """

    means: Matrix
    factors: Matrix

    @classmethod
    def of(cls, scale: Scale) -> "Scales":
        """Return the scale of a single side."""
        return cls(np.array([scale.mean]), np.array([1 / scale.deviation if scale.deviation else 0.0]))

    def standard(self, values: Matrix) -> Matrix:
        """Return values, shape (…, sides), in units of the scale: 0 where all targets were the same."""
        return (values - self.means) * self.factors


def sides_of(task: Task) -> int:
    """Return how many sides the targets of a task have."""
    return GROUPS if task is Task.MULTICLASS else 1


def as_sides(targets: Matrix, sides: int) -> Matrix:
    """Return targets (numbers, or indices of classes), shape (rows,), as float64, shape (rows, sides)."""
    if sides == 1:
        return targets[:, None]
    found: Matrix = (targets[:, None].astype(np.int64) % sides == np.arange(sides)).astype(np.float64)
    return found
