"""The factorization machine: every pair of features interacts, through factors of each (Rendle, 2010).

With factors v and a feature's amount x, pairs add ½ [(Σ v x)² − Σ (v x)²] for each factor. These sums over pairs are
then weighed for each output, as in neural factorization machines (He and Chua, 2017), so that classes share factors.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.encoder_layout import Role
from models.errors import LearnerOptionsInvalid
from models.network import BuiltIn, Inputs, LossGradient, Rate, Shape

SPREAD = 0.1  # standard deviation of the factors at first: none would ever move from 0


class FactorizationMachine(BuiltIn):
    """Linear terms and interactions of the hashed strings and of the dense columns.

    Parameters
    ----------
    factors
        Factors of each feature.
    """

    default_rates: ClassVar[Mapping[str, Rate]] = {
        "adagrad": Rate(0.1),
        "adam": Rate(1e-2),
        "adamw": Rate(1e-2),
        "sgd": Rate(0.03),
    }
    default_replay: ClassVar[int] = 0

    def __init__(self, factors: int = 8) -> None:
        super().__init__()
        if not isinstance(factors, int) or factors < 1:
            raise LearnerOptionsInvalid(f"network.factors: {factors!r} is not a positive integer")
        self._factors = factors

    def shapes(self, inputs: int, outputs: int) -> dict[str, Shape]:
        """See :class:`models.network.Network`."""
        return {
            "bias": (outputs,),
            "weight": (inputs, outputs),
            "factors": (inputs, self._factors),
            "interactions": (self._factors, outputs),
        }

    def input_dimensions(self) -> Mapping[str, int]:
        """See :class:`models.network.Network`."""
        return {"weight": 0, "factors": 0}

    def table_width(self, outputs: int) -> int:
        """See :class:`models.network.Network`: factors first, so that outputs can be added behind them."""
        return self._factors + outputs

    def initialise(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """See :class:`models.network.Network`.

        For one output a factor's interactions count as they are, as Rendle has them. Several need unlike ones: what
        pulls at all of them alike is nothing to a softmax, and no factor would ever move.
        """
        interactions = parameters["interactions"]
        if interactions.shape[2] == 1:
            interactions.fill_(1.0)
        else:
            interactions.copy_(torch.randn(interactions.shape, generator=generator))

    def initialise_table(self, table: Tensor, generator: torch.Generator) -> None:
        """See :class:`models.network.Network`."""
        factors = table[..., : self._factors]
        factors.copy_(torch.randn(factors.shape, generator=generator) * SPREAD)

    def add_inputs(
        self, parameters: Mapping[str, Tensor], first: int, roles: Sequence[Role], generator: torch.Generator
    ) -> None:
        """See :class:`models.network.Network`."""
        for column, role in enumerate(roles, first):
            if role is not Role.MARK:
                of_column = parameters["factors"][:, column]
                of_column.copy_(torch.randn(of_column.shape, generator=generator) * SPREAD)

    def _sums(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return Σ v x and Σ (v x)², both of shape (copies, rows, factors)."""
        factors = self._parameters["factors"]
        sums, squares = inputs.dense @ factors, inputs.dense.square() @ factors.square()
        if inputs.entries is not None and inputs.block is not None:
            hashed = inputs.block[..., : self._factors]
            sums += inputs.entries.sum_by_row(hashed)
            squares += inputs.entries.sum_by_row(hashed.square(), squared=True)
        return sums, squares

    def _combine(self, inputs: Inputs, pairs: Tensor) -> Tensor:
        """Return the outputs."""
        weight, bias = self._parameters["weight"], self._parameters["bias"].unsqueeze(1)
        outputs = torch.baddbmm(bias, inputs.dense.expand(len(weight), -1, -1), weight)
        outputs.baddbmm_(pairs, self._parameters["interactions"])
        if inputs.entries is not None and inputs.block is not None:
            outputs += inputs.entries.sum_by_row(inputs.block[..., self._factors :])
        return outputs

    def outputs(self, inputs: Inputs) -> Tensor:
        """See :class:`models.network.Network`."""
        sums, squares = self._sums(inputs)
        return self._combine(inputs, (sums.square() - squares) / 2)

    def learn(self, inputs: Inputs, loss_gradient: LossGradient) -> Tensor | None:
        """See :class:`models.network.Network`."""
        sums, squares = self._sums(inputs)
        pairs = (sums.square() - squares) / 2
        outputs = self._combine(inputs, pairs)
        gradient = loss_gradient(outputs)
        written, factors = self._gradients, self._parameters["factors"]
        across = inputs.dense.t().expand(len(gradient), -1, -1)
        torch.sum(gradient, 1, out=written["bias"])
        torch.bmm(across, gradient, out=written["weight"])
        torch.bmm(pairs.mT, gradient, out=written["interactions"])
        of_pairs = gradient @ self._parameters["interactions"].mT
        pulled = of_pairs * sums
        torch.bmm(across, pulled, out=written["factors"])
        written["factors"].addcmul_(factors, inputs.dense.square().t() @ of_pairs, value=-1)
        if inputs.entries is None or inputs.block is None:
            return None
        entries, hashed = inputs.entries, inputs.block[..., : self._factors]
        of_factors = entries.sum_by_place(pulled) - hashed * entries.sum_by_place(of_pairs, squared=True)
        return torch.cat([of_factors, entries.sum_by_place(gradient)], 2)
