"""The simplest chunks there are: numbers, each of them an event of ten bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from consumers.microbatch import Decoded
from consumers.source import Position, Positions
from consumers.track import Track


@dataclass(frozen=True)
class Numbers:
    """A chunk of numbers."""

    values: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, start: int, stop: int) -> Self:
        return type(self)(self.values[start:stop])

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        return cls(tuple(value for part in parts for value in part.values))


def decoded(*values: int, arrived: float = 0.0, positions: Positions | None = None) -> Decoded[Numbers]:
    """Return a chunk of one-event messages of partition 0 whose offsets are `values`, of ten bytes each."""
    rows = len(values)
    track = Track(
        np.zeros(rows, np.int32),
        np.array(values, np.int64) + 1,
        np.zeros(rows, np.int32),
        np.full(rows, 10, np.int32),
        np.zeros(rows, np.int64),
    )
    after = {0: Position(values[-1] + 1)} if positions is None else positions
    return Decoded(Numbers(values), track, after, arrived)
