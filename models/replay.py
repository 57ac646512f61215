"""The most recent rows, kept to be learned again beside new ones (experience replay: Lin, 1992).

One pass over a stream leaves most of what a network could learn from it unlearned; rows of the recent past, drawn at
random, make up for it without going back in time. Rows are kept as they were encoded when they were new.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from models.features import Sparse

CAPACITY = 4096


class Replay:
    """A ring of encoded rows on the device; their hashed strings on the host, where places in tables are computed.

    Parameters
    ----------
    device
        Where the rows are.
    targets
        dtype of the targets.
    capacity
        Rows that are kept.
    """

    def __init__(self, device: torch.device, targets: torch.dtype, capacity: int = CAPACITY) -> None:
        self._device, self._capacity = device, capacity
        self.dense = torch.zeros((capacity, 0), device=device)
        self.targets = torch.zeros(capacity, dtype=targets, device=device)
        self.weights = torch.zeros(capacity, device=device)
        self._places = np.full((capacity, 0), -1, np.int32)
        self._amounts = np.zeros((capacity, 0), np.float32)
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, self._capacity)

    def add(self, dense: Tensor, targets: Tensor, weights: Tensor, sparse: Sparse | None) -> None:
        """Keep rows; of more than fit, the last."""
        count = dense.shape[0]
        rows = min(count, self._capacity)
        skipped = count - rows
        if dense.shape[1] > self.dense.shape[1]:
            self.dense = pad(self.dense, (0, dense.shape[1] - self.dense.shape[1]))
        start = (self.seen + skipped) % self._capacity
        first = min(rows, self._capacity - start)
        for ring, values in ((self.dense, dense), (self.targets, targets), (self.weights, weights)):
            ring[start : start + first] = values[skipped : skipped + first]
            if first < rows:
                ring[: rows - first] = values[skipped + first :]
        if sparse is not None:
            self._add_sparse(sparse, (np.arange(rows) + start) % self._capacity, skipped)
        self.seen += count

    def latest(self, rows: int) -> NDArray[np.intp]:
        """Return the places of the latest rows, of no more than there are, in order."""
        return np.arange(self.seen - rows, self.seen) % self._capacity

    def _add_sparse(self, sparse: Sparse, places: NDArray[np.intp], skipped: int) -> None:
        """Keep hashed strings, as lines padded with -1."""
        counts = np.diff(sparse.starts)[skipped:]
        longest = int(counts.max(initial=0))
        held = self._places.shape[1]
        if longest > held:
            wider = ((0, 0), (0, (1 << (longest - 1).bit_length()) - held))
            self._places = np.pad(self._places, wider, constant_values=-1)
            self._amounts = np.pad(self._amounts, wider)
        used = np.arange(self._places.shape[1]) < counts[:, None]
        start = sparse.starts[skipped]
        for ring, values, blank in ((self._places, sparse.places, -1), (self._amounts, sparse.amounts, 0)):
            lines = np.full(used.shape, blank, ring.dtype)
            lines[used] = values[start:]
            ring[places] = lines

    def sparse(self, rows: NDArray[np.intp]) -> Sparse:
        """Return the hashed strings of some rows."""
        lines = self._places[rows]
        used = lines >= 0
        starts = np.concatenate([[0], used.sum(1).cumsum()])
        return Sparse(lines[used].astype(np.int64), self._amounts[rows][used], starts)

    def clear_columns(self, columns: Tensor) -> None:
        """Make zeros of some input columns, int64: they carry other features from now on."""
        if self.dense.shape[1]:  # else nothing is kept
            self.dense.index_fill_(1, columns, 0.0)

    def rescale(self, factor: float, shift: float) -> None:
        """Put numbers to learn into other units: t becomes factor · t + shift."""
        self.targets.mul_(factor).add_(shift)

    def state(self) -> dict[str, Tensor]:
        """Return what :meth:`restore` needs: views of it."""
        rows = len(self)
        tensors = {"dense": self.dense, "targets": self.targets, "weights": self.weights}
        return {
            **{name: tensor[:rows] for name, tensor in tensors.items()},
            "places": torch.from_numpy(self._places[:rows]),
            "amounts": torch.from_numpy(self._amounts[:rows]),
            "seen": torch.tensor([self.seen]),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken from."""
        self.seen = int(tensors["seen"])
        rows = len(self)
        for name in ("dense", "targets", "weights"):
            held = tensors[name]
            ring = torch.zeros((self._capacity, *held.shape[1:]), dtype=held.dtype, device=self._device)
            ring[:rows] = held
            setattr(self, name, ring)
        missing = ((0, self._capacity - rows), (0, 0))
        self._places = np.pad(tensors["places"].cpu().numpy(), missing, constant_values=-1)
        self._amounts = np.pad(tensors["amounts"].cpu().numpy(), missing)
