"""How much each column has to do with the target, learned as rows come: what distances between rows are measured by.

A column counts by its correlation with the target, and by that of its square, so that one whose middle differs from its
ends counts too. Neighbours in columns that have nothing to do with the target are no neighbours.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.expert import Tensors

HALF_LIFE = 5_000.0  # rows after which a row counts half
ENOUGH = 128  # rows before which correlations are mostly chance, and all columns count alike
FLOOR = 0.05  # what a column that has nothing to do with the target counts, beside the one that has most to do
SMALLEST = 1e-6  # variance below which a column is constant


class Relevance:
    """Sums of columns, of their squares, and of their products with the target.

    Parameters
    ----------
    numeric
        Whether targets are numbers.
    device
        Where to compute.

    Attributes
    ----------
    first, second
        Sums of columns and then of their squares, shape (2 · columns,), and of the squares of both.
    products
        Sums of their products with the target's outputs, shape (2 · columns, outputs).
    target
        Sums of the outputs, and of their squares, shape (2, outputs).
    rows
        Sum of the weights, shape (1,).
    """

    def __init__(self, device: torch.device, *, numeric: bool) -> None:
        self._numeric = numeric
        self.first, self.second = torch.zeros((2, 0), device=device), torch.zeros((2, 0), device=device)
        self.products = torch.zeros((2, 0, int(numeric)), device=device)
        self.target = torch.zeros((2, int(numeric)), device=device)
        self.rows = torch.zeros(1, device=device)

    def grow(self, columns: int, outputs: int) -> None:
        """Make room for so many columns and outputs."""
        more, others = columns - self.first.shape[1], outputs - self.target.shape[1]
        if more or others:
            self.first, self.second = pad(self.first, (0, more)), pad(self.second, (0, more))
            self.products = pad(self.products, (0, others, 0, more))
            self.target = pad(self.target, (0, others))

    def clear(self, columns: Tensor) -> None:
        """Forget some columns, int64: until they are known, they count as if they had nothing to do with the target."""
        for sums in (self.first, self.second, self.products):
            sums.index_fill_(1, columns, 0.0)

    def rescale(self, factor: float, shift: float) -> None:
        """Go on with targets that are factor · t + shift."""
        first, second = self.target
        squares = second * factor**2 + first * (2 * factor * shift) + self.rows * shift**2
        self.target = torch.stack([first * factor + self.rows * shift, squares])
        self.products = self.products * factor + self.first.unsqueeze(2) * shift

    def add(self, columns: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Add rows: columns, shape (rows, columns), targets, shape (rows, outputs), and weights."""
        both = torch.stack([columns, columns.square()])
        weighted = both * weights.view(-1, 1)
        kept = 0.5 ** (len(targets) / HALF_LIFE)
        self.first = self.first * kept + weighted.sum(1)
        self.second = self.second * kept + (weighted * both).sum(1)
        self.products = self.products * kept + weighted.transpose(1, 2) @ targets
        sums = torch.stack([weights @ targets, weights @ targets.square()])
        self.target, self.rows = self.target * kept + sums, self.rows * kept + weights.sum()

    def scales(self) -> Tensor:
        """Return what each column counts, float32, shape (columns,): most for what has most to do with the target."""
        rows = self.rows.clamp(min=1.0)
        means = self.first / rows
        variances = (self.second / rows - means.square()).clamp_(min=SMALLEST)
        expected = self.target[0] / rows
        spreads = (self.target[1] / rows - expected.square()).clamp_(min=SMALLEST)
        shared = self.products / rows - means.unsqueeze(2) * expected
        squares = (shared.square() / spreads).sum(2).div_(variances).sum(0).sqrt_()
        found = squares / squares.max().clamp(min=SMALLEST) + FLOOR
        return torch.where(self.rows >= ENOUGH, found, torch.ones_like(found))

    def state(self) -> dict[str, Tensor]:
        """Return all that it is."""
        return {name: getattr(self, name) for name in ("first", "second", "products", "target", "rows")}

    def restore(self, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
        for name, tensor in tensors.items():
            setattr(self, name, tensor)
