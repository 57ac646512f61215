"""A stretch of what waits, closed to newcomers: arrays that never change, and marks of which rows still wait.

On the path blocks are the older part of a table (``table.py``). That they never change is what makes checkpoints cheap:
a block that was written once is not written again. As its rows go, a block is made anew of those that are left.
"""

import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.answered import Answered, join_answered
from models.examples import Features, Joint
from service.joining.packing import Arrays, arranged, pack, settled, unpack

Rows = NDArray[Any]
"""A structured array: what is known of each row beside its features."""

_SPARSE = 4
"""A block of which fewer than one row in so many still waits is to be made anew."""

_APART = 64
"""Bytes of which each array in a file begins at a multiple."""


class Piece(NamedTuple):
    """The features of some rows, and what was answered about them."""

    features: Features
    answered: Answered | None

    def __len__(self) -> int:
        return len(self.features)


class Block:
    """Some rows of a table.

    Parameters
    ----------
    numbers
        int64, shape (rows,), ascending: what the rows are called in their table.
    rows
        Structured, shape (rows,); never changed.
    features
        Packed, see ``packing.py``; empty where the table holds none.
    waiting
        bool, shape (rows,): which rows are still here. None: all.

    Attributes
    ----------
    held
        How many rows still wait.
    earliest
        No row that waits is of an earlier time, in milliseconds.
    """

    __slots__ = ("content", "earliest", "features", "held", "numbers", "rows", "spilled", "waiting")

    def __init__(
        self,
        numbers: NDArray[np.int64],
        rows: Rows,
        features: Arrays,
        waiting: NDArray[np.bool_] | None = None,
    ) -> None:
        self.numbers = numbers
        self.rows = rows
        self.content: NDArray[np.uint8] = rows.view(np.uint8).reshape(len(rows), -1)
        """The rows as bytes: the same array each time, so that a checkpoint knows it again."""
        self.features = features
        self.waiting = np.ones(len(rows), np.bool_) if waiting is None else waiting
        self.held = int(self.waiting.sum())
        self.spilled = False
        self.look_again()
        for array in (numbers, rows, self.content, *features.values()):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def first(self) -> int:
        """The first row's number: no other block of the table has it."""
        return int(self.numbers[0])

    @property
    def nbytes(self) -> int:
        """Bytes of its features."""
        return sum(array.nbytes for array in self.features.values())

    @property
    def is_sparse(self) -> bool:
        """Whether so little of it still waits that it should be made anew."""
        return _SPARSE * self.held < len(self)

    def everything(self) -> tuple[NDArray[np.int64], Rows, NDArray[np.bool_]]:
        """Return numbers, rows, and which of them still wait."""
        return self.numbers, self.rows, self.waiting

    def fits(self, other: "Block") -> bool:
        """Return whether the features of both have enough in common to be joined."""
        joint = Joint()
        nothing = np.empty(0, np.intp)
        return all(joint.takes(Piece(*block.take(nothing)), block.held) for block in (self, other) if block.features)

    def look_again(self) -> None:
        """Find the earliest time of what waits."""
        times = self.rows["time"][self.waiting]
        self.earliest = float(times.min()) if len(times) else np.inf

    def place(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return where the rows of these numbers are."""
        return self.numbers.searchsorted(numbers)

    def take(self, places: NDArray[np.intp]) -> Piece:
        """Return the features of some rows, and what was answered about them."""
        return Piece(*unpack(self.features, places))

    def spill(self, folder: Path) -> None:
        """Move the features into a file that is mapped, and which is gone with this process, or once nobody uses it.

        Raises
        ------
        OSError
            There is no room; the features stay in memory.
        """
        self.features = _mapped(self.features, folder)
        self.spilled = True


def merged(blocks: Sequence[Block]) -> Block:
    """Return one block of the rows that still wait in some, which follow each other."""
    kept = [np.flatnonzero(block.waiting) for block in blocks]
    numbers = np.concatenate([block.numbers[places] for block, places in zip(blocks, kept, strict=True)])
    rows = np.concatenate([block.rows[places] for block, places in zip(blocks, kept, strict=True)])
    if not any(block.features for block in blocks):
        return Block(numbers, rows, {})
    return Block(numbers, rows, together([block.take(places) for block, places in zip(blocks, kept, strict=True)]))


def together(parts: Sequence[Piece]) -> dict[str, NDArray[Any]]:
    """Return features, and what was answered, of parts in order, packed."""
    whole = joined(parts)
    return pack(arranged(whole.features), settled(whole.answered))


def joined(parts: Sequence[Piece]) -> Piece:
    """Return parts in order as one."""
    return Piece(
        Features.concatenate([part.features for part in parts]),
        join_answered([part.answered for part in parts], [len(part) for part in parts]),
    )


def _mapped(arrays: Arrays, folder: Path) -> Mapping[str, NDArray[Any]]:
    starts, end = {}, 0
    for name, array in arrays.items():
        starts[name] = end
        end += -(-array.nbytes // _APART) * _APART
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        for name, array in arrays.items():
            file.seek(starts[name])
            file.write(np.ascontiguousarray(array).data)
        file.truncate(max(end, 1))
        file.flush()
        content = mmap.mmap(file.fileno(), max(end, 1), access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM") and os.name == "posix":
        content.madvise(mmap.MADV_RANDOM)
    return {
        name: np.frombuffer(content, array.dtype, array.size, starts[name]).reshape(array.shape)
        for name, array in arrays.items()
    }
