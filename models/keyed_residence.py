"""Where the parameters of keys are: in slots of the tensors, or spilled. Stands between ``keyed.py`` and the host.

What a spilled key's rows hold is in the units and columns of when it went; when it comes back, both are what they have
become meanwhile, and it goes on bit for bit where they are the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.devices import to_device
from models.keyed_hashes import NO_KEY
from models.keyed_index import NOWHERE
from models.keyed_solutions import KeySolutions
from models.keyed_spill import Returned, Spill, Spilled
from models.keyed_table import KeyTable
from models.learner import Array, Json
from models.names import beneath, under

Rows = NDArray[np.int64]


class Residence:
    """Seats keys, and moves what was learned of them.

    Parameters
    ----------
    most
        Keys that have slots at once, at most.
    spilled
        Keys that are kept beside them, at most.
    solutions
        Whose slots they are.
    folder
        See :class:`models.keyed_spill.Spill`.

    Attributes
    ----------
    table
        Which key has which slot.
    """

    def __init__(self, most: int, spilled: int, solutions: KeySolutions, folder: Path | None = None) -> None:
        self.table, self._spill = KeyTable(most), Spill(spilled, folder)
        self._solutions = solutions
        self._units = 1.0  # of the first units of the target in the present one
        self._renewed: dict[int, int] = {}  # column → microbatch after which it began anew

    def yield_seated(self, keys: Rows) -> Iterator[Rows]:
        """Yield for pieces of a microbatch the slot of each row, negative for rows without a key or of another piece.

        A piece has all rows of some keys, no more of these than there can be slots; they have theirs until the next
        piece is asked for. In what order keys are learned makes no difference to any of them.

        Parameters
        ----------
        keys
            Of each row, in order.
        """
        rows = np.flatnonzero(keys != NO_KEY)
        met, first, inverse = np.unique(keys[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they came
        for start in range(0, len(order), self.table.most):
            piece = order[start : start + self.table.most]
            slots = np.full(len(met), NOWHERE)
            slots[piece] = self._seat(met[piece])
            placed = np.full(len(keys), NOWHERE)
            placed[rows] = slots[inverse]
            yield placed

    def _seat(self, keys: Rows) -> Rows:
        """Return the slots of keys that are learned now; what is known of them is there."""
        self.table.now += 1
        admitted = self.table.admit(keys)
        solutions, device = self._solutions, self._solutions.weights.device
        _, _, columns, outputs = solutions.weights.shape
        solutions.grow(self.table.capacity, columns, outputs)
        if len(admitted.gone_keys):
            packed = solutions.pack(to_device(admitted.gone_slots, device)).cpu().numpy()
            since = np.full(len(packed), self.table.now)
            units = np.full(len(packed), self._units)
            self._spill.add([columns, outputs], Spilled(admitted.gone_keys, packed, since, units))
        if len(admitted.fresh):
            slots = admitted.slots[admitted.fresh]
            solutions.forget_slots(to_device(slots, device))
            for returned in self._spill.take(keys[admitted.fresh]):
                self._bring_back(returned, slots[returned.places])
        return admitted.slots

    def _bring_back(self, returned: Returned, slots: Rows) -> None:
        """Put rows that were spilled into slots."""
        device, content = self._solutions.weights.device, returned.content
        there = to_device(slots, device)
        self._solutions.unpack(there, to_device(content.rows, device), *returned.form)
        factors = self._units / content.units
        if (factors != 1.0).any():
            self._solutions.rescale_slots(there, to_device(factors.astype(np.float32), device))
        for column, renewed in self._renewed.items():
            late = np.flatnonzero(content.since <= renewed)
            if len(late):
                self._solutions.forget_columns(torch.tensor([column], device=device), to_device(slots[late], device))

    def renew(self, columns: list[int]) -> None:
        """Forget what was learned for these columns, of all keys."""
        self._renewed |= dict.fromkeys(columns, self.table.now)
        self._solutions.forget_columns(torch.tensor(columns, device=self._solutions.weights.device))

    def rescale(self, factor: float) -> None:
        """Go on in other units of the target: what was 1 is now `factor`."""
        self._units *= factor
        self._solutions.rescale(factor)

    def counts(self) -> dict[str, int]:
        """Return what operators want to know: keys that have slots and that are spilled; how often which was done."""
        resident, spilled = self.table.resident, len(self._spill)
        return {
            "known": resident + spilled,
            "resident": resident,
            "spilled": spilled,
            "evictions": self.table.evictions,
            "forgotten": self._spill.forgotten,
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return all that is on the host; arrays that cannot be written to never change, and need not be copied."""
        table, own = self.table.state()
        spill, arrays = self._spill.state()
        meta = {"table": table, "spill": spill, "units": self._units, "renewed": list(self._renewed.items())}
        return meta, {**beneath("keys/", own), **arrays}

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from."""
        self._units, self._renewed = meta["units"], dict(meta["renewed"])
        self.table.restore(meta["table"], under("keys/", arrays))
        self._spill.restore(meta["spill"], arrays)
