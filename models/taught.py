"""What a teacher says of some rows, in the form in which it is written down: :class:`Taught`.

A teacher is another model, whose answers are mixed into the loss (distillation: Hinton, Vinyals and Dean, arXiv
1503.02531). They depend on what it had learned by then, so whoever asks it writes down what it said (the journal, in
``service``), and the same rows are learned from the same words again. On the path this stands beside the labels, in
:class:`models.examples.Examples`; what is learned from both is in ``distillation.py``.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Class = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Taught:
    """What a teacher says of some rows.

    Attributes
    ----------
    weight
        Its share in the loss of a row that has a label too; above 0, below 1.
    classes
        Those that `chosen` counts; none where it names numbers.
    chosen
        uint16, shape (rows, named); indices of the classes that it names of each row.
    shares
        float16, shape (rows, named); how probable it takes them to be, about 1 in all; 0 where it names no more.
    values
        float64, shape (rows,), for numbers, all finite; of shape (0,) for classes.
    """

    weight: float
    classes: tuple[Class, ...]
    chosen: NDArray[np.uint16]
    shares: NDArray[np.float16]
    values: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp] | slice) -> Self:
        """Return what it says of the rows that an array of indices or a slice selects."""
        values = self.values[rows] if len(self.values) else self.values
        return replace(self, chosen=self.chosen[rows], shares=self.shares[rows], values=values)
