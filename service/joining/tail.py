"""The newest of what waits: rows as they came, until there are enough of them for a block.

On the path it is the young end of a table (``table.py``). Most labels come soon, so most rows are gone again before
anything is made of them.
"""

import numpy as np
from numpy.typing import NDArray

from models.examples import Joint
from service.joining.block import Block, Piece, Rows, joined, together

_PIECES = 64
"""Pieces that are kept apart at most, where they have too little in common to be joined."""


def fit(pieces: list[Piece]) -> bool:
    """Return whether pieces have enough in common to be joined."""
    joint = Joint()
    return all(joint.takes(piece, len(piece)) for piece in pieces)


class Tail:
    """Rows in the order in which they came. Owned by one thread.

    Parameters
    ----------
    kind
        Of the structured array of rows.
    size
        Rows that it has room for.

    Attributes
    ----------
    filled
        Rows that came since the last block was made, gone or not; never more than `size`.
    earliest
        No row that waits is of an earlier time, in milliseconds.
    """

    def __init__(self, kind: np.dtype[np.void], size: int) -> None:
        self.filled = 0
        self.earliest = np.inf
        self.numbers = np.empty(size, np.int64)
        self.rows = np.empty(size, kind)
        self.waiting = np.zeros(size, np.bool_)
        self._used = 0
        self._pieces: list[Piece] = []
        self._starts: list[int] = []

    @property
    def is_crowded(self) -> bool:
        """Whether its pieces are too many to be looked through."""
        return len(self._pieces) > _PIECES

    @property
    def nbytes(self) -> int:
        """Bytes of numbers and rows; features are counted once they are a block."""
        return self.numbers.nbytes + self.rows.nbytes + self.waiting.nbytes

    def add(self, numbers: NDArray[np.int64], rows: Rows, piece: Piece | None) -> None:
        """Take in rows, for which there must be room."""
        start, stop = self._used, self._used + len(rows)
        self.numbers[start:stop], self.rows[start:stop], self.waiting[start:stop] = numbers, rows, True
        self._used = stop
        self.filled += len(rows)
        self.earliest = min(self.earliest, float(rows["time"].min()))
        if piece is None:
            return
        self._pieces.append(piece)
        self._starts.append(start)
        # As in a binary counter, so that each row is copied a few times at most.
        while len(self._pieces) > 1 and len(self._pieces[-2]) <= len(self._pieces[-1]) and fit(self._pieces[-2:]):
            self._pieces[-2:] = [joined(self._pieces[-2:])]
            self._starts.pop()

    def place(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return where the rows of these numbers are."""
        return self.numbers[: self._used].searchsorted(numbers)

    def take(self, places: NDArray[np.intp]) -> Piece:
        """Return the features of some rows, and what was answered about them."""
        if len(self._pieces) == 1:
            return _picked(self._pieces[0], places)
        order = places.argsort(kind="stable")
        cuts = places[order].searchsorted([*self._starts, self._used])
        parts = [
            _picked(piece, places[order[cuts[which] : cuts[which + 1]]] - self._starts[which])
            for which, piece in enumerate(self._pieces)
            if cuts[which] < cuts[which + 1]
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return _picked(joined(parts), back)

    def everything(self) -> tuple[NDArray[np.int64], Rows, NDArray[np.bool_]]:
        """Return numbers, rows, and which of them still wait."""
        used = self._used
        return self.numbers[:used], self.rows[:used], self.waiting[:used]

    def look_again(self) -> None:
        """Find the earliest time of what waits."""
        _, rows, waiting = self.everything()
        self.earliest = float(rows["time"][waiting].min()) if waiting.any() else np.inf

    def blocks(self) -> list[Block]:
        """Return what still waits as blocks: one, unless rows have too little in common."""
        if not self._pieces:
            kept = np.flatnonzero(self.waiting[: self._used])
            return [Block(self.numbers[kept], self.rows[kept], {})] if len(kept) else []
        found: list[Block] = []
        begin = 0
        while begin < len(self._pieces):
            end = begin + 1
            while end < len(self._pieces) and fit(self._pieces[begin : end + 1]):
                end += 1
            found += self._block(begin, end)
            begin = end
        return found

    def clear(self) -> None:
        """Begin anew: what waited is in blocks."""
        self.filled = self._used = 0
        self.earliest = np.inf
        self._pieces, self._starts = [], []

    def restore(self, blocks: list[Block], filled: int) -> None:
        """Become what gave these blocks."""
        self.clear()
        for block in blocks:
            self.add(block.numbers, block.rows, block.take(np.arange(len(block))) if block.features else None)
        self.filled = filled

    def _block(self, begin: int, end: int) -> list[Block]:
        stop = self._starts[end] if end < len(self._pieces) else self._used
        kept = self._starts[begin] + np.flatnonzero(self.waiting[self._starts[begin] : stop])
        if not len(kept):
            return []
        return [Block(self.numbers[kept], self.rows[kept], together([self.take(kept)]))]


def _picked(piece: Piece, places: NDArray[np.intp]) -> Piece:
    return Piece(piece.features.take(places), None if piece.answered is None else piece.answered.take(places))
