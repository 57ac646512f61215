"""Networks of a user's own, good and bad, for the tests: loaded by path, as a user's are."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """One hidden layer, with a random layer and a buffer."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.BatchNorm1d(hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        return self.layers(x)  # type: ignore[no-any-return] # a module's call is untyped


class Plain(nn.Module):
    """Two layers, no more."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        return self.layers(x)  # type: ignore[no-any-return] # a module's call is untyped


class Branching(Plain):
    """Computes something else where a parameter says so: copies of it cannot be run at once."""

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        first = next(self.parameters())
        return super().forward(x) * (2 if float(first.detach().sum()) > 0 else 1)


class Counting(nn.Module):
    """Linear, with a buffer that is assigned anew instead of being changed: copies of it cannot be run at once."""

    seen: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        if self.training:
            self.seen = self.seen + len(x)
        found: Tensor = self.linear(x)
        return found


class Fragile(nn.Module):
    """Linear, and infinite where the first input is above 3."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        found: Tensor = self.linear(x)
        return torch.where(x[:, :1] > 3, torch.inf, 1.0) * found


class WrongShape(Plain):
    """Returns one value a row, without the dimension of the outputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        return super().forward(x)[:, 0]


class NoParameters(nn.Module):
    """Has nothing to learn."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shape = (inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        return x[:, :1].expand(-1, self.shape[1])


class Doubles(Plain):
    """Has parameters of another precision."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.double()


class Detached(Plain):
    """Returns what depends on no parameter."""

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        return super().forward(x).detach()


class NoArguments(nn.Module):
    """Is not made with the numbers of inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)


class NoModule:
    """Is no module."""

    def __init__(self, inputs: int, outputs: int, **options: Any) -> None:
        self.options = (inputs, outputs, options)


not_a_class = 3


class Poisoned(nn.Module):
    """Linear, with a buffer that becomes infinite once there are a hundred inputs: no gradient can undo that."""

    scale: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.register_buffer("scale", torch.ones(()))
        self.poisoned = inputs >= 100

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        if self.training and self.poisoned:
            self.scale.fill_(torch.inf)
        found: Tensor = self.linear(x)
        return found * self.scale


class Hungry(Plain):
    """Needs more memory than there is for more rows than a file says, if there is one, once it has so many inputs."""

    def __init__(self, inputs: int, outputs: int, limit: str, from_inputs: int = 0) -> None:
        super().__init__(inputs, outputs)
        self.limit = Path(limit)
        self.large = inputs >= from_inputs

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        if self.large and self.limit.exists() and len(x) > int(self.limit.read_text()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(x)


class Cursed(Hungry):
    """Loses the accelerator as long as there is a file, of which it takes a byte away each time."""

    def __init__(self, inputs: int, outputs: int, curse: str, **hunger: Any) -> None:
        super().__init__(inputs, outputs, **hunger)
        self.curse = Path(curse)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        # Not when it is only looked at whether it is a network at all.
        if len(x) > 4 and self.curse.exists():
            left = self.curse.stat().st_size - 1
            self.curse.write_bytes(b"x" * left) if left > 0 else self.curse.unlink()
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().forward(x)


class Body(nn.Module):
    """A body, which may have been trained elsewhere, and a head that goes with the task."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 24, *, frozen: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
        )
        self.head = nn.Linear(hidden, outputs)
        if frozen:
            self.body.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        found: Tensor = self.head(self.body(x))
        return found


class Moving(nn.Module):
    """Linear, with a buffer that changes whenever it runs, and without a module of its own around the buffer."""

    mean: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs."""
        if self.training:
            self.mean.add_(1.0)
        found: Tensor = self.linear(x)
        return found
