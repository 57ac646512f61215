"""Many dense columns made few: what experts do whose cost grows with the square of the columns, or with rows kept.

The first columns stay as they are, and those after them share a few by signed hashing (Weinberger et al. 2009).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device

PLAIN = 256
"""Columns that are taken as they are."""

FOLDED = 64
"""Columns that all others share."""


def folded_width(columns: int) -> int:
    """Return to how many columns so many are folded."""
    return columns if columns <= PLAIN else PLAIN + FOLDED


class Folding:
    """Folds dense columns; remembers nothing but what it can make again."""

    def __init__(self) -> None:
        self._matrix = torch.zeros((0, FOLDED))

    def __call__(self, dense: Tensor) -> Tensor:
        """Return the columns folded, float32, shape (rows, folded_width(columns))."""
        beyond = dense.shape[1] - PLAIN
        if beyond <= 0:
            return dense
        if len(self._matrix) != beyond:
            self._matrix = to_device(_signed_hashing(beyond), dense.device)
        return torch.cat([dense[:, :PLAIN], dense[:, PLAIN:] @ self._matrix], 1)


def _signed_hashing(columns: int) -> NDArray[np.float32]:
    """Return a matrix that adds each of so many columns, or subtracts it, to one of ``FOLDED``."""
    places = np.arange(columns, dtype=np.int64)
    mixed = places * 0x9E3779B1 >> 7  # a multiplicative hash (Knuth, The Art of Computer Programming, 6.4)
    matrix = np.zeros((columns, FOLDED), np.float32)
    matrix[places, mixed % FOLDED] = np.where(mixed // FOLDED % 2, 1.0, -1.0)
    return matrix
