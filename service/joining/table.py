"""A table of what waits: rows by id, in the order in which they came, with their features where they have some.

On the path the label join has one of observations, and one of labels (``join.py``). The newest rows are as they came
(``tail.py``), older ones are packed in blocks (``block.py``), and an index finds them by id (``index.py``). Everything
is done to many rows in one call. What a table holds, block by block, follows from what was added and removed alone, so
that a restart that does the same again comes to the same arrays.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.answered import Answered, join_answered
from models.examples import MOST_CELLS, Features, Joint
from models.learner import Array
from service.joining.block import Block, Piece, Rows, merged
from service.joining.index import IdIndex, Ids
from service.joining.packing import arranged, settled
from service.joining.tail import Tail

BLOCK = 1 << 14
"""Rows that a block is made of."""


class Table:
    """Rows that wait. Owned by one thread.

    Parameters
    ----------
    kind
        Of the structured arrays of rows; with the fields ``id`` (uint64, 2), ``time`` (float64, milliseconds) and
        ``partition`` (int32).
    folder
        Where features go that have no room in memory.
    memory
        Bytes of features in memory, at most; the newest stay.
    size
        Rows that a block is made of.
    """

    def __init__(self, kind: np.dtype[np.void], folder: Path, memory: int, size: int = BLOCK) -> None:
        self._kind = kind
        self._folder = folder
        self._memory = memory
        self._size = size
        self._next = 0
        self._blocks: list[Block] = []
        self._firsts: NDArray[np.int64] = np.empty(0, np.int64)
        self._tail = Tail(kind, size)
        self._index = IdIndex()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, in memory and in files."""
        beside = self._kind.itemsize + 9
        return self._index.nbytes + self._tail.nbytes + sum(len(each) * beside + each.nbytes for each in self._blocks)

    @property
    def _parts(self) -> list[Block | Tail]:
        return [*self._blocks, self._tail]

    def earliest(self) -> float:
        """Return the earliest time of what waits, in milliseconds; infinite where nothing does."""
        for block in self._parts:
            block.look_again()
        return min(block.earliest for block in self._parts)

    def find(self, ids: Ids) -> NDArray[np.int64]:
        """Return the number of the row of each id; -1 where it does not wait."""
        return self._index.find(ids)

    def add(self, rows: Rows, features: Features | None = None, answered: Answered | None = None) -> None:
        """Take in rows, whose ids do not wait yet and occur once.

        Parameters
        ----------
        rows
            Of the table's kind.
        features, answered
            Theirs; None in a table that holds no features.
        """
        numbers = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        self._index.add(rows["id"], numbers)
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + self._size - self._tail.filled)
            piece = None
            if features is not None:
                some = None if answered is None else answered.take(slice(start, stop))
                piece = Piece(features.slice(start, stop), some)
            self._tail.add(numbers[start:stop], rows[start:stop], piece)
            if self._tail.filled == self._size or self._tail.is_crowded:
                self._seal()
            start = stop

    def rows(self, numbers: NDArray[np.int64]) -> Rows:
        """Return the rows of these numbers, in their order."""
        found = np.empty(len(numbers), self._kind)
        for block, where in self._where(numbers):
            found[where] = block.rows[block.place(numbers[where])]
        return found

    def features(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.intp], Features, Answered | None]:
        """Return features, and what was answered.

        Returns
        -------
        taken
            The places among `numbers` of those whose features follow, ascending. All, unless they have so little in
            common that together they took too much memory: then those that come too late have no room.
        features, answered
            Of these.
        """
        pieces, places = [], []
        for block, where in self._where(numbers):
            pieces.append(Piece(*block.take(block.place(numbers[where]))))
            places.append(where)
        taken = np.concatenate([*places, np.empty(0, np.intp)]).astype(np.intp)
        order = taken.argsort()
        if not _is_small(pieces):
            single = [_row_of(piece, row) for piece in pieces for row in range(len(piece))]
            # One by one, so that who has no room follows from the rows alone, and not from where they lay.
            joint = Joint()
            order = np.array([place for place in order.tolist() if joint.takes(single[place], 1)], np.intp)
            pieces, taken, order = [single[place] for place in order.tolist()], taken[order], np.arange(len(order))
        features = Features.concatenate([piece.features for piece in pieces]).take(order)
        answered = join_answered([piece.answered for piece in pieces], [len(piece) for piece in pieces])
        return taken[order], features, None if answered is None else answered.take(order)

    def forget(self, numbers: NDArray[np.int64]) -> None:
        """Remove rows, each of which is here, whatever their ids."""
        self.remove(numbers, self.rows(numbers)["id"])

    def remove(self, numbers: NDArray[np.int64], ids: Ids) -> None:
        """Remove rows, each of which is here, and has this id."""
        if not len(numbers):
            return
        self._index.remove(ids)
        sparse = False
        for block, where in self._where(numbers):
            block.waiting[block.place(numbers[where])] = False
            if isinstance(block, Block):
                block.held -= len(where)
                sparse |= block.is_sparse
        if sparse:
            self._thin()

    def due(self, clocks: NDArray[np.float64], wait: float, newest: float, patience: float) -> NDArray[np.int64]:
        """Return the numbers of the rows whose time is up, ascending.

        Parameters
        ----------
        clocks
            What time it is in each partition, milliseconds: past which `wait` counts.
        wait
            Milliseconds.
        newest, patience
            What time it is in the partition that is ahead, and for how long a row waits by that time at most.
        """
        found = []
        for block in self._parts:
            if block.earliest + wait >= newest:
                continue
            # What was the earliest may be gone.
            block.look_again()
            numbers, rows, waiting = block.everything()
            up = rows["time"] + wait < clocks[rows["partition"]]
            up |= rows["time"] + patience < newest
            found.append(numbers[up & waiting])
        return np.concatenate([*found, np.empty(0, np.int64)])

    def oldest(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of the first rows, so many."""
        found: list[NDArray[np.int64]] = []
        for block in self._parts:
            numbers, _, waiting = block.everything()
            found.append(numbers[waiting][:count])
            count -= len(found[-1])
            if not count:
                break
        return np.concatenate(found)

    def make_room(self) -> None:
        """Move features into files that have no room in memory: the oldest first.

        Raises
        ------
        OSError
            They stay in memory.
        """
        room = self._memory
        for block in reversed(self._blocks):
            room -= 0 if block.spilled else block.nbytes
            if room < 0 and not block.spilled and block.features:
                block.spill(self._folder)

    def state(self, name: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` takes back; arrays that can change are copied."""
        tail = self._tail.blocks()
        arrays: dict[str, Array] = {}
        for block in (*self._blocks, *tail):
            key = f"{name}{block.first}"
            arrays[f"{key}/numbers"] = block.numbers
            arrays[f"{key}/rows"] = block.content
            arrays |= {f"{key}/feature-{part}": array for part, array in block.features.items()}
            arrays[f"{name}-waiting/{block.first}"] = block.waiting.copy()
        return {"next": self._next, "filled": self._tail.filled, "in_tail": len(tail)}, arrays

    def restore(self, name: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from."""
        parts: dict[int, dict[str, Array]] = {}
        for key, array in arrays.items():
            match = re.fullmatch(rf"{name}(\d+)/(.+)", key)
            if match is not None:
                parts.setdefault(int(match[1]), {})[match[2]] = array
        blocks = []
        for first, found in sorted(parts.items()):
            rows = np.ascontiguousarray(found.pop("rows")).view(self._kind).reshape(-1)
            numbers = found.pop("numbers")
            features = {part.removeprefix("feature-"): array for part, array in found.items()}
            blocks.append(Block(numbers, rows, features, arrays[f"{name}-waiting/{first}"].astype(np.bool_)))
        self._next = int(meta["next"])
        place = len(blocks) - int(meta["in_tail"])
        self._blocks = blocks[:place]
        self._tail = Tail(self._kind, self._size)
        self._tail.restore(blocks[place:], int(meta["filled"]))
        self._firsts = np.array([block.first for block in self._blocks], np.int64)
        self._index = IdIndex()
        for block in self._parts:
            numbers, rows, waiting = block.everything()
            self._index.add(rows["id"][waiting], numbers[waiting])
        self.make_room()

    def _where(self, numbers: NDArray[np.int64]) -> list[tuple[Block | Tail, NDArray[np.intp]]]:
        """Return which block has which of the numbers, as places among them."""
        if not len(numbers):
            return []
        which = self._firsts.searchsorted(numbers, side="right") - 1
        beyond = numbers > (self._blocks[-1].numbers[-1] if self._blocks else -1)
        which[beyond] = len(self._blocks)
        order = which.argsort(kind="stable")
        found, starts = np.unique(which[order], return_index=True)
        parts = self._parts
        return [
            (parts[place], order[start:stop])
            for place, start, stop in zip(found.tolist(), starts, [*starts[1:], len(order)], strict=True)
        ]

    def _seal(self) -> None:
        """Make blocks of the tail."""
        self._blocks += self._tail.blocks()
        self._tail.clear()
        self._thin()
        self.make_room()

    def _thin(self) -> None:
        """Leave out blocks of which nothing waits, and make those anew that have become small, neighbours together."""
        kept: list[Block] = []
        for block in self._blocks:
            if kept and 2 * (kept[-1].held + block.held) <= self._size and kept[-1].fits(block):
                kept[-1] = merged([kept[-1], block])
            elif block.held:
                kept.append(merged([block]) if block.is_sparse else block)
        self._blocks = kept
        self._firsts = np.array([block.first for block in kept], np.int64)


def _is_small(pieces: Sequence[Piece]) -> bool:
    """Return whether pieces, joined, take little memory, be they of which rows they may."""
    columns: set[tuple[str, str]] = set()
    for piece in pieces:
        columns.update(piece.features.keys, ((name, "text") for name in piece.features.categories))
        columns.update((name, "texts") for name in piece.features.tokens)
        columns.update((name, "answered") for name in (piece.answered.classes if piece.answered is not None else ()))
    return len(columns) * sum(map(len, pieces)) <= MOST_CELLS


def _row_of(piece: Piece, row: int) -> Piece:
    """Return one row of a piece, without the columns in which it has nothing."""
    answered = None if piece.answered is None else piece.answered.take(slice(row, row + 1))
    return Piece(arranged(piece.features.slice(row, row + 1)), settled(answered))
