"""Numbers as bins: what is linear in them is piecewise linear in the number.

Each standardised number lies between two of nine knots, at whole deviations from −4 to 4, and counts as both, the
nearer one the more: a linear spline (as in multivariate adaptive regression splines: Friedman, 1991, with fixed knots).
So a linear network becomes an additive one of curves. As numbers are in nearly every row, bins are columns beside the
dense ones, and no rows of a table: a matrix product costs less than finding out which rows are met.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.encoder_numbers import CLIP

KNOTS = 9
BINNED = 64  # first input columns whose numbers have bins: those of many are no more than weights that are seldom met
AMOUNT = 0.25  # that a number at a knot counts, where its own column counts its deviations
NOWHERE = 1e9  # a knot that no number is near


class Bins:
    """Where the knots are.

    Parameters
    ----------
    numbers
        Input columns that carry numbers; those from :data:`BINNED` on have no bins.
    device
        Of the inputs.

    Attributes
    ----------
    columns
        How many input columns, from the first, there are bins of; not all of them need have any.
    """

    def __init__(self, numbers: Sequence[int] = (), device: torch.device | str = "cpu") -> None:
        binned = [column for column in numbers if column < BINNED]
        self.columns = max(binned, default=-1) + 1
        knots = torch.full((self.columns, KNOTS), NOWHERE)
        knots[binned] = torch.linspace(-CLIP, CLIP, KNOTS)
        self._knots = knots.to(device)

    def of_rows(self, dense: Tensor) -> Tensor:
        """Return the bins of rows, shape (rows, inputs), as float32, shape (rows, columns · KNOTS), from 0 to 1."""
        # Row after row in memory: runs of nine numbers would take three times as long.
        distances = dense[:, : self.columns].t().contiguous().unsqueeze(1) - self._knots.unsqueeze(2)
        return torch.rsub(distances.abs_().clamp_(max=1.0), 1).flatten(0, 1).t()
