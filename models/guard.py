"""Steps that must not count: found, undone and counted on the device, without the host waiting for it.

A step whose gradients are not finite leaves parameters and optimizer as they were. When several in a row were like
that, the parameters of the last time that all was well come back, and the learning rate is halved. That is looked after
every so many microbatches, by their number, so that learning the same stream again does the same again. Until then
norms are only noted: counting them one by one would cost as much as a small network's step.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from models.parameters import Parameters

PATIENCE = 5  # steps in a row that did not count, after which the last good parameters come back
INTERVAL = 32  # microbatches from one look to the next
MOST_NOTES = 256  # steps after which they are counted, however few microbatches they were


class Guard:
    """Counters on the device, and a copy of the last good parameters.

    Parameters
    ----------
    device
        Of the parameters.
    rates
        Learning rates of the network's copies, each of which is looked after for itself.

    Attributes
    ----------
    rates
        As they are now, float32, shape (copies, 1).
    """

    def __init__(self, device: torch.device, rates: Sequence[float]) -> None:
        copies = len(rates)
        self._given = torch.tensor(rates, device=device)
        self.in_a_row = torch.zeros(copies, dtype=torch.int64, device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.restorations = torch.zeros((), dtype=torch.int64, device=device)
        self.rate_scale = torch.ones(copies, device=device)
        self.rates = self._given.unsqueeze(1)
        self._norms: list[Tensor] = []
        self._good: Tensor | None = None
        self._good_table: Tensor | None = None

    def kept(self, norm: Tensor, copies: slice) -> Tensor | None:
        """Note a step.

        Parameters
        ----------
        norm
            Norms of the gradients of those copies that took it, float32, shape (copies,).
        copies
            Which ones.

        Returns
        -------
        Tensor or None
            Which copies' steps count, shape (copies, 1); None if all do, as far as that can be known without waiting
            for the device.
        """
        resting = len(self._given) - len(norm)
        self._norms.append(pad(norm, (copies.start, resting - copies.start)) if resting else norm)
        if len(self._norms) >= MOST_NOTES:
            self._count()
        if norm.is_cpu and math.isfinite(sum(norm.tolist())):
            return None
        return torch.isfinite(norm).unsqueeze(1)

    def _count(self) -> None:
        """Count the steps that were noted."""
        if not self._norms:
            return
        wrong = ~torch.isfinite(torch.stack(self._norms))
        self._norms.clear()
        self.skipped += wrong.any(1).sum()
        latest = wrong.flip(0).cumprod(0).sum(0)
        self.in_a_row = torch.where(latest == len(wrong), self.in_a_row, 0) + latest

    def look(self, parameters: Parameters) -> None:
        """Bring the last good parameters back where it is time to, otherwise remember these where they are good."""
        self._count()
        fits = self._good is not None and self._good.shape == parameters.block[0].shape
        if not fits or self._good is None:
            self._good = parameters.block[0].clone()
        lost = (self.in_a_row >= PATIENCE).unsqueeze(1)
        good = (self.in_a_row == 0).unsqueeze(1)
        torch.where(lost, self._good, parameters.block[0], out=parameters.block[0])
        torch.where(good, parameters.block[0], self._good, out=self._good)
        if parameters.table is not None:
            self._look_at_table(parameters.table[0], lost, good)
        self.restorations += lost.any()
        self.rate_scale.mul_(torch.where(lost, 0.5, 1.0).squeeze(1))
        self.rates = (self.rate_scale * self._given).unsqueeze(1)
        self.in_a_row.mul_(~lost.squeeze(1))

    def _look_at_table(self, table: Tensor, lost: Tensor, good: Tensor) -> None:
        """Do the same for the table."""
        if self._good_table is None or self._good_table.shape != table.shape:
            self._good_table = table.clone()
        torch.where(lost, self._good_table, table, out=table)
        torch.where(good, table, self._good_table, out=self._good_table)

    def clear_inputs(self, columns: NDArray[np.int64], parameters: Parameters) -> None:
        """Forget what the last good parameters have for some input columns."""
        if self._good is not None and self._good.shape == parameters.block[0].shape:
            parameters.clear_inputs_of(self._good, columns)

    def state(self) -> dict[str, Tensor]:
        """Return what :meth:`restore` needs: views of it."""
        self._count()
        tensors = {
            "in_a_row": self.in_a_row, "skipped": self.skipped, "restorations": self.restorations,
            "rate_scale": self.rate_scale, "parameters": self._good, "table": self._good_table,
        }  # fmt: skip
        return {name: held for name, held in tensors.items() if held is not None}

    def reports(self) -> dict[str, float]:
        """Return how many steps did not count, and how often parameters came back; waits for the device."""
        self._count()
        return {"skipped": float(self.skipped), "restorations": float(self.restorations)}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken from."""
        self._norms.clear()
        self.in_a_row, self.skipped = held["in_a_row"], held["skipped"]
        self.restorations, self.rate_scale = held["restorations"], held["rate_scale"]
        self.rates = (self.rate_scale * self._given).unsqueeze(1)
        self._good, self._good_table = held.get("parameters"), held.get("table")
