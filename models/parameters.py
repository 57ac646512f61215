"""All parameters of a network, with what the optimizer remembers of them, in two blocks of memory.

There are several copies of a network side by side, which learn at rates of their own; often only one. The dense
parameters are one block of shape (1 + memories, copies, count): a gradient step is then a few operations on one tensor,
and publishing it is one copy. The table for hashed strings is a block of shape (1 + memories, rows, copies, width), of
which a step touches only the rows that its examples name. When the network grows, old values go to the beginning of
every dimension, optimizer memories alike.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.network import Network, Shape

TABLE_LIMIT = 1 << 22  # parameters of a table: with more than 64 columns it has fewer than 2^16 rows


def table_rows(most: int, width: int) -> int:
    """Return the rows of a table of so many columns: `most`, halved until it is within the limit."""
    while width * most > TABLE_LIMIT and most > 1:
        most //= 2
    return most


def named_views(flat: Tensor, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """Return parts of flat parameters, shape (copies, count), under their names, in shapes (copies, …)."""
    views, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        views[name] = flat[:, start : start + size].view(len(flat), *shape)
        start += size
    return views


class Parameters:
    """Parameters of one network on one device.

    Parameters
    ----------
    network
        Whose.
    memories
        Numbers that the optimizer remembers for each.
    device
        Where.
    copies
        Of the network.

    Attributes
    ----------
    block
        float32, shape (1 + memories, copies, count).
    gradient
        float32, shape (copies, count).
    table
        float32, shape (1 + memories, rows, copies, width), or None.
    shapes
        The dense parameters' names and shapes within a copy, in the order of the block.
    learning
        Which copies learn, and answer, now: all, or one while the others rest.
    """

    def __init__(self, network: Network, memories: int, device: torch.device, copies: int = 1) -> None:
        self._network = network
        self._rows = 1 + memories
        self._copies = copies
        self._device = device
        self.shapes: dict[str, Shape] = {}
        self.table: Tensor | None = None
        self.learning = slice(0, copies)
        self.adopt({}, torch.zeros((self._rows, copies, 0), device=device))

    def adopt(self, shapes: Mapping[str, Shape], block: Tensor) -> None:
        """Take over parameters of these shapes."""
        self.shapes = dict(shapes)
        self.block = block
        self.gradient = torch.zeros_like(block[0])
        self.views = named_views(block[0], self.shapes)
        self._bind()

    def _bind(self) -> None:
        """Have the network use those copies that learn."""
        if self.shapes:
            parameters, gradients = (flat[self.learning] for flat in (self.block[0], self.gradient))
            self._network.bind(named_views(parameters, self.shapes), named_views(gradients, self.shapes))

    @property
    def alone(self) -> int | None:
        """The only copy that learns; None while all do."""
        return self.learning.start if self.learning != slice(0, self._copies) else None

    def rest(self, but: int) -> None:
        """Have all copies rest but one."""
        self.learning = slice(but, but + 1)
        self.gradient.zero_()
        self._bind()

    def wake(self) -> None:
        """Have all copies go on from what the one that did not rest knows, the optimizer's memory included."""
        for block in (self.block, *(() if self.table is None else (self.table.transpose(1, 2),))):
            block.copy_(block[:, self.learning].clone().expand_as(block))
        self.learning = slice(0, self._copies)
        self._bind()

    def grow(self, shapes: Mapping[str, Shape], generator: torch.Generator) -> None:
        """Take on other shapes: the first ones, or larger ones."""
        if dict(shapes) == self.shapes:
            self.adopt(shapes, self.block)  # what the network has beside parameters may have grown all the same
            return
        before, old = self.shapes, self.block
        count = sum(math.prod(shape) for shape in shapes.values())
        self.adopt(shapes, torch.zeros((self._rows, self._copies, count), device=self._device))
        if before:
            self._network.widen(self.views)
        else:
            self._network.initialise(self.views, generator)
        for row in range(self._rows if before else 0):
            target = named_views(self.block[row], self.shapes)
            for name, values in named_views(old[row], before).items():
                target[name][tuple(slice(0, size) for size in values.shape)] = values

    def clear_inputs(self, columns: NDArray[np.int64]) -> None:
        """Make zeros of all that belongs to some input columns, optimizer memories alike."""
        for flat in self.block:
            self.clear_inputs_of(flat, columns)

    def clear_inputs_of(self, flat: Tensor, columns: NDArray[np.int64]) -> None:
        """Make zeros of all that belongs to some input columns in flat parameters, shape (copies, count)."""
        views = named_views(flat, self.shapes)
        for name, dimension in self._network.input_dimensions().items():
            held = columns[columns < self.shapes[name][dimension]]
            views[name].index_fill_(1 + dimension, to_device(held, self._device), 0.0)

    def grow_table(self, rows: int, width: int, generator: torch.Generator) -> None:
        """Take on another width of the table, or make the first one.

        A wider table may have fewer rows. Values whose rows fall together then share the sum: nearly all rows are
        zeros, so that nearly all values keep what was learned.
        """
        held = self.table
        if held is not None and (held.shape[1], held.shape[3]) == (rows, width):
            return
        self.table = torch.zeros((self._rows, rows, self._copies, width), device=self._device)
        if held is None:
            self._network.initialise_table(self.table[0], generator)
        else:
            folded = held.reshape(self._rows, -1, rows, self._copies, held.shape[3]).sum(1)
            self.table[..., : held.shape[3]] = folded
