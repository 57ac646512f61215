"""The built-in networks and the registry of all of them: ``linear``, ``mlp``, ``fm``, and a user's own.

Their gradients are written out: see ``network.py`` for why. A new network is one class and one line in ``NETWORKS``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.encoder_layout import Role
from models.errors import LearnerOptionsInvalid
from models.examples import Kind
from models.network import BuiltIn, Inputs, LossGradient, Network, Rate, Shape, fill_uniformly
from models.network_bins import AMOUNT, BINNED, KNOTS, Bins
from models.network_fm import FactorizationMachine
from models.network_products import add_outputs, before, outputs_of, write_gradient
from models.network_user import UserNetwork, is_user_network

AT_ONCE = 2048  # rows times copies that are answered at once on the CPU: what comes of layers stays in its cache


class Linear(BuiltIn):
    """A linear model of the dense columns, of bins of numbers, and of hashed strings, which have rows of a table."""

    default_rates: ClassVar[Mapping[str, Rate]] = {
        "adagrad": Rate(0.2, 0.5),
        "adam": Rate(3e-3, 3.0),
        "adamw": Rate(3e-3, 3.0),
        "sgd": Rate(0.03, 3.0),
    }
    default_replay: ClassVar[int] = 16

    def __init__(self) -> None:
        super().__init__()
        self._bins = Bins()

    def shapes(self, inputs: int, outputs: int) -> dict[str, Shape]:
        """See :class:`models.network.Network`."""
        return {"bias": (outputs,), "weight": (inputs, outputs), "bins": (min(inputs, BINNED), KNOTS, outputs)}

    def input_dimensions(self) -> Mapping[str, int]:
        """See :class:`models.network.Network`."""
        return {"weight": 0, "bins": 0}

    def see(self, numbers: Sequence[int], device: torch.device) -> None:
        """See :class:`models.network.Network`."""
        self._bins = Bins(numbers, device)

    def table_width(self, outputs: int) -> int:
        """See :class:`models.network.Network`."""
        return outputs

    def outputs(self, inputs: Inputs) -> Tensor:
        """See :class:`models.network.Network`."""
        return self._outputs(inputs, self._bins.of_rows(inputs.dense))

    def _outputs(self, inputs: Inputs, bins: Tensor) -> Tensor:
        """Return the outputs, by bins too."""
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        outputs = outputs_of(bias, inputs.dense.expand(weight.shape[0], -1, -1), weight)
        curves = self._parameters["bins"][:, : self._bins.columns].flatten(1, 2)
        add_outputs(outputs, bins.expand(weight.shape[0], -1, -1), curves, AMOUNT)
        if inputs.entries is not None and inputs.block is not None:
            outputs += inputs.entries.sum_by_row(inputs.block)
        return outputs

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> Tensor | None:
        """See :class:`models.network.Network`."""
        bins = self._bins.of_rows(inputs.dense)
        gradient = loss_gradient(self._outputs(inputs, bins))
        written, copies = self._gradients, gradient.shape[0]
        torch.sum(gradient, 1, out=written["bias"])
        write_gradient(written["weight"], inputs.dense.expand(copies, -1, -1), gradient)
        curves = written["bins"][:, : self._bins.columns].flatten(1, 2)
        write_gradient(curves, bins.expand(copies, -1, -1), gradient)
        curves.mul_(AMOUNT)
        return None if inputs.entries is None else inputs.entries.sum_by_place(gradient)


class Mlp(BuiltIn):
    """Layers of rectified linear units, with a linear skip from the inputs to the outputs.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    wide
        Whether hashed strings also have a table of their own, linear in the outputs (wide and deep learning: Cheng et
        al., 2016).
    """

    default_rates: ClassVar[Mapping[str, Rate]] = {
        "adagrad": Rate(0.03, 20.0),
        "adam": Rate(3e-3, 30.0),
        "adamw": Rate(3e-3, 30.0),
        "sgd": Rate(0.03, 10.0),
    }
    default_replay: ClassVar[int] = 64
    table_kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TOKENS})

    def __init__(self, hidden: Sequence[int] = (64, 64), *, wide: bool = True) -> None:
        super().__init__()
        if not hidden or any(not isinstance(units, int) or units < 1 for units in hidden):
            raise LearnerOptionsInvalid(
                f"network.hidden: {hidden!r} is not a list of positive integers such as [64, 64]"
            )
        self._hidden = tuple(hidden)
        self._wide = wide

    def shapes(self, inputs: int, outputs: int) -> dict[str, Shape]:
        """See :class:`models.network.Network`."""
        sizes = (inputs, *self._hidden, outputs)
        shapes: dict[str, Shape] = {"skip": (inputs, outputs)}
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            shapes[f"bias{layer}"] = (fan_out,)
            shapes[f"weight{layer}"] = (fan_in, fan_out)
        return shapes

    def input_dimensions(self) -> Mapping[str, int]:
        """See :class:`models.network.Network`."""
        return {"skip": 0, "weight0": 0}

    def table_width(self, outputs: int) -> int:
        """See :class:`models.network.Network`."""
        return outputs if self._wide else 0

    def initialise(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Fill hidden layers as Glorot and Bengio (2010) scale them; outputs start at zero."""
        for layer, units in enumerate(self._hidden):
            bound = 1 / math.sqrt(units)
            fill_uniformly(parameters[f"bias{layer}"], bound, generator)
            if layer:
                fill_uniformly(parameters[f"weight{layer}"], 1 / math.sqrt(self._hidden[layer - 1]), generator)

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """See :class:`models.network.Network`: values are 0 in rows without them, so their weights may be anything."""
        bound = 1 / math.sqrt(max(first + len(roles), 1))
        for column, role in enumerate(roles, first):
            if role is not Role.MARK:
                fill_uniformly(parameters["weight0"][:, column], bound, generator)

    def _activations(self, inputs: Tensor) -> list[Tensor]:
        """Return what goes into each layer, and last the outputs, but for what the table adds."""
        parameters, last = self._parameters, len(self._hidden)
        dense = inputs.expand(parameters["skip"].shape[0], -1, -1)
        flow = [dense]
        for layer in range(last):
            bias = parameters[f"bias{layer}"].unsqueeze(1)
            flow.append(torch.baddbmm(bias, flow[-1], parameters[f"weight{layer}"]).relu_())
        outputs = outputs_of(parameters[f"bias{last}"], flow[-1], parameters[f"weight{last}"])
        add_outputs(outputs, dense, parameters["skip"])
        return [*flow, outputs]

    def outputs(self, inputs: Inputs) -> Tensor:
        """See :class:`models.network.Network`."""
        dense, rows = inputs.dense, max(inputs.dense.shape[0], 1)
        at_once = max(AT_ONCE // self._parameters["skip"].shape[0], 1) if dense.is_cpu else rows
        parts = [self._activations(dense[start : start + at_once])[-1] for start in range(0, rows, at_once)]
        outputs = parts[0] if len(parts) == 1 else torch.cat([part.mT for part in parts], 2).mT
        return self._with_table(outputs, inputs)

    def _with_table(self, outputs: Tensor, inputs: Inputs) -> Tensor:
        """Add what the table has of the rows' strings to outputs, and return them."""
        if inputs.entries is not None and inputs.block is not None:
            outputs += inputs.entries.sum_by_row(inputs.block)
        return outputs

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> Tensor | None:
        """See :class:`models.network.Network`."""
        *flow, outputs = self._activations(inputs.dense)
        gradient = loss_gradient(self._with_table(outputs, inputs))
        block_gradient = None if inputs.entries is None else inputs.entries.sum_by_place(gradient)
        written, parameters, last = self._gradients, self._parameters, len(self._hidden)
        write_gradient(written["skip"], flow[0], gradient)
        write_gradient(written[f"weight{last}"], flow[last], gradient)
        for layer in reversed(range(last + 1)):
            torch.sum(gradient, 1, out=written[f"bias{layer}"])
            if layer < last:
                torch.bmm(flow[layer].mT, gradient, out=written[f"weight{layer}"])
            if layer:
                weight = parameters[f"weight{layer}"]
                gradient = before(gradient, weight) if layer == last else torch.bmm(gradient, weight.mT)
                # Where a unit was 0, nothing flows back.
                gradient = torch.ops.aten.threshold_backward(gradient, flow[layer], 0)
        return block_gradient


NETWORKS: dict[str, Callable[..., Network]] = {
    "linear": Linear,
    "mlp": Mlp,
    "fm": FactorizationMachine,
}


def create_network(kind: str, options: Mapping[str, Any]) -> Network:
    """Return a built-in network, or one of a user's own: ``path/to/file.py:ClassName`` or an entry point's name.

    Raises
    ------
    LearnerOptionsInvalid
        No network has this name, or it does not take these options.
    NetworkInvalid
        A user's own network cannot be loaded or does not keep the contract.
    """
    if kind not in NETWORKS:
        if is_user_network(kind):
            return UserNetwork(kind, options)
        known = ", ".join(NETWORKS)
        raise LearnerOptionsInvalid(
            f"kind: {kind!r} is not known; use {known}, online, path/to/file.py:ClassName, or the name of an entry "
            "point of the group headrace.networks"
        )
    try:
        return NETWORKS[kind](**options)
    except TypeError as error:
        raise LearnerOptionsInvalid(f"network: {dict(options)} does not fit the network {kind!r}: {error}") from error
