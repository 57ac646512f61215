"""What a network is to a learner: :class:`Network`, and the inputs that it gets.

The built-in networks are in ``networks.py``; they compute their gradients themselves, for the bookkeeping of autograd
costs more than their arithmetic. Networks of a user's own are modules and go through autograd (``network_user.py``).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from models.devices import to_device
from models.encoder_layout import Role
from models.examples import Kind
from models.features import Sparse

SMALL = 16_384  # parameters, for so many inputs
USUAL = 64  # and one output, up to which a network costs little

Shape = tuple[int, ...]
LossGradient = Callable[[Tensor], Tensor]
"""Outputs, shape (copies, rows, outputs) → gradient of the loss with respect to them."""


class Rate(NamedTuple):
    """A learning rate, and what it is multiplied by for the table, whose rows are seldom met."""

    rate: float
    table: float = 1.0


@dataclass(frozen=True, slots=True)
class Entries:
    """Hashed strings of some rows, as places in a block that holds the rows of a table that they name.

    Sums by example and sums by place are both bags in order, so that they come out the same, bit for bit, each time,
    on an accelerator too, where adding by index would not.

    Attributes
    ----------
    places
        int64, shape (places,); rows of the table, ascending.
    inside, amounts, starts
        Shapes (values,), (values,), (rows,); for each value its place within the block, its amount, and each example's
        first value.
    owners, owned, place_starts
        Shapes (values,), (values,), (places,); the same values in the order of their places: the example of each, its
        amount, and each place's first value.
    """

    places: Tensor
    inside: Tensor
    amounts: Tensor
    starts: Tensor
    owners: Tensor
    owned: Tensor
    place_starts: Tensor

    @classmethod
    def of(cls, sparse: Sparse, table_rows: int, device: torch.device) -> Self:
        """Return the entries of some rows for a table of so many rows, a power of two."""
        places = sparse.places & (table_rows - 1)
        # Sorted as short numbers, where they are: by digits, which takes a third of the time.
        short = places.astype(np.uint16) if table_rows <= 1 << 16 else places
        order = short.argsort(kind="stable")
        ordered = places[order]
        new = np.ones(len(ordered), np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
        first = np.flatnonzero(new)
        inside = np.empty_like(places)
        inside[order] = new.cumsum() - 1
        counts = sparse.starts[1:] - sparse.starts[:-1]
        owners = np.arange(len(counts)).repeat(counts)[order]
        arrays: Sequence[NDArray[np.generic]] = (
            ordered[first], inside, sparse.amounts, sparse.starts[:-1], owners, sparse.amounts[order], first,
        )  # fmt: skip
        return cls(*(to_device(array, device) for array in arrays))

    def sum_by_row(self, block: Tensor, *, squared: bool = False) -> Tensor:
        """Return for each example the sum of its places' rows of `block` times their amounts (or these squared).

        From shape (places, copies, width) to (copies, rows, width).
        """
        amounts = self.amounts.square() if squared else self.amounts
        flat = block.flatten(1)
        sums = embedding_bag(self.inside, flat, self.starts, mode="sum", per_sample_weights=amounts)
        return sums.view(len(sums), *block.shape[1:]).transpose(0, 1)

    def sum_by_place(self, rows: Tensor, *, squared: bool = False) -> Tensor:
        """Return for each place the sum of its examples' `rows` times their amounts (or these squared).

        From shape (copies, rows, width) to (places, copies, width).
        """
        amounts = self.owned.square() if squared else self.owned
        flat = rows.transpose(0, 1).flatten(1)
        sums = embedding_bag(self.owners, flat, self.place_starts, mode="sum", per_sample_weights=amounts)
        return sums.view(len(sums), len(rows), rows.shape[2])


@dataclass(frozen=True, slots=True)
class Inputs:
    """Encoded rows.

    Attributes
    ----------
    dense
        float32, shape (rows, inputs).
    entries
        Hashed strings; None where there are none, or the network has no table.
    block
        Rows of the table that the entries name, shape (places, copies, table width).
    seed
        What random layers draw from.
    """

    dense: Tensor
    entries: Entries | None = None
    block: Tensor | None = None
    seed: int = 0


class Network(Protocol):
    """A function of inputs with parameters, of which there may be several copies side by side.

    Its parameters live in memory that others own: see :meth:`bind`. `inputs` is the number of dense columns and
    `outputs` that of logits (or 1). Both may grow; every parameter's new values are then put beside the old ones.
    """

    default_rates: ClassVar[Mapping[str, Rate]]
    """Optimizer → learning rate; the first one is the default optimizer."""
    default_replay: ClassVar[int]
    """Rows of the recent past to learn again with each step."""
    table_kinds: ClassVar[frozenset[Kind]]
    """Kinds of strings that have rows of the table."""
    side_by_side: bool
    """Whether there may be several copies of it."""
    spare: ClassVar[bool]
    """Whether inputs and outputs are rounded up to powers of two, the spare ones without any effect."""

    def shapes(self, inputs: int, outputs: int) -> dict[str, Shape]:
        """Return the names and shapes of a copy's parameters; they come as tensors of shape (copies, …)."""

    def buffers(self) -> Mapping[str, Tensor]:
        """Return what is learned without gradients, shapes (copies, …), in place; often nothing."""

    def frozen(self) -> Mapping[str, Tensor]:
        """Return what is not learned, the same for all copies; often nothing. Nothing changes it but :meth:`bind`."""

    def table_width(self, outputs: int) -> int:
        """Return how many parameters there are for each hashed string; 0 for no table."""

    def initialise(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Fill new parameters, which are zeros; not called for what grows later."""

    def widen(self, parameters: Mapping[str, Tensor]) -> None:
        """Fill parameters that have grown, which are zeros; old values are put at their beginning afterwards."""

    def initialise_table(self, table: Tensor, generator: torch.Generator) -> None:
        """Fill a new table, shape (rows, copies, width), which is zeros."""

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """Fill what weighs new input columns, which is zeros: no output of a row without them may change."""

    def see(self, numbers: Sequence[int], device: torch.device) -> None:
        """Note which input columns carry numbers in their own right, standardised; called before they come.

        `device` is that of the inputs.
        """

    def input_dimensions(self) -> Mapping[str, int]:
        """Return the parameters of which each input column has values of its own, and along which dimension.

        There may be fewer than columns: those of the first ones.
        """

    def bind(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor] | None = None,
        frozen: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Use this memory from now on: parameters, where their gradients go, and what it has beside if not its own."""

    def outputs(self, inputs: Inputs) -> Tensor:
        """Return the outputs, float32, shape (copies, rows, outputs), for predicting."""

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> Tensor | None:
        """Compute the gradient of a loss and write it where :meth:`bind` said, over what was there.

        Returns
        -------
        Tensor or None
            Gradient of ``inputs.block``; None where there is none.
        """


class BuiltIn:
    """What the built-in networks share."""

    table_kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.CATEGORY, Kind.TOKENS})
    side_by_side: bool = True
    spare: ClassVar[bool] = True

    def __init__(self) -> None:
        self._parameters: Mapping[str, Tensor] = {}
        self._gradients: Mapping[str, Tensor] = {}

    def buffers(self) -> Mapping[str, Tensor]:
        """See :class:`Network`: nothing."""
        return {}

    def frozen(self) -> Mapping[str, Tensor]:
        """See :class:`Network`: nothing."""
        return {}

    def widen(self, parameters: Mapping[str, Tensor]) -> None:
        """See :class:`Network`: leave zeros."""

    def see(self, numbers: Sequence[int], device: torch.device) -> None:
        """See :class:`Network`: one column is like another."""

    def initialise(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """See :class:`Network`: leave zeros."""

    def initialise_table(self, table: Tensor, generator: torch.Generator) -> None:
        """See :class:`Network`: leave zeros."""

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """See :class:`Network`: leave zeros."""

    def bind(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor] | None = None,  # noqa: ARG002 - there are none
        frozen: Mapping[str, Tensor] | None = None,  # noqa: ARG002 - there is nothing
    ) -> None:
        """See :class:`Network`."""
        self._parameters, self._gradients = parameters, gradients or {}


def fill_uniformly(parameters: Tensor, bound: float, generator: torch.Generator) -> None:
    """Fill with random numbers within ±`bound`; drawn on the host, so that they are the same on every device."""
    parameters.copy_(torch.rand(parameters.shape, generator=generator).mul_(2 * bound).sub_(bound))


def is_small(network: Network) -> bool:
    """Return whether a network costs little; of a user's own, nobody knows."""
    return isinstance(network, BuiltIn) and sum(map(math.prod, network.shapes(USUAL, 1).values())) <= SMALL
