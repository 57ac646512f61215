"""Vectors on their way from the device to the host: :class:`Lagged`. For what is decided by figures computed there.

Nothing waits for an accelerator. A copy begins, the next microbatches are computed, and what it brought is handed out
``LAG`` vectors later, by their number: so whoever learns the same stream again decides the same at the same place.
On the CPU everything is handed out at once.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LAG = 4  # microbatches after which a copy from an accelerator has long arrived

Vector = NDArray[np.float64]


class Sent(NamedTuple):
    """A vector on the host, and what to wait for until it is there; None where it is."""

    values: Tensor
    arrived: torch.cuda.Event | None = None

    def read(self) -> Vector:
        """Return the values."""
        if self.arrived is not None:
            self.arrived.synchronize()
        values: Vector = self.values.numpy()
        return values


class Lagged:
    """A queue of vectors.

    Parameters
    ----------
    device
        Where they are computed.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._lag = LAG if torch.device(device).type == "cuda" else 0
        self._sent: deque[Sent] = deque()

    def exchange(self, values: Tensor) -> list[Vector]:
        """Send a vector, float64, shape (any,), and return those that are due, in the order in which they were sent.

        They may be views of what was sent, so that must not be used any more.
        """
        self._sent.append(send(values))
        due = []
        while len(self._sent) > self._lag:
            due.append(self._sent.popleft().read())
        return due

    def clear(self) -> None:
        """Forget what is underway."""
        self._sent.clear()

    def state(self) -> tuple[list[int], Vector]:
        """Return what is underway: the lengths of the vectors, and their values after each other; waits for them."""
        read = [sent.read() for sent in self._sent]
        return [len(values) for values in read], np.concatenate([np.zeros(0), *read])

    def restore(self, lengths: Sequence[int], values: Vector) -> None:
        """Become what :meth:`state` was taken from."""
        parts = np.split(values, np.cumsum(lengths)[:-1]) if lengths else []
        self._sent = deque(Sent(torch.from_numpy(part.copy())) for part in parts)


def send(values: Tensor) -> Sent:
    """Begin to copy a vector to the host."""
    if values.device.type != "cuda":
        return Sent(values)
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # PyTorch left its types out
    arrived.record()
    return Sent(host, arrived)
