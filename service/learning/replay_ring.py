"""The last labelled examples, for a learner that must start at once: what the online learner is warmed up on."""

from collections import deque

from models.examples import Examples


class ReplayRing:
    """Keeps the last `capacity` examples, in order, without copying them.

    Parameters
    ----------
    capacity
        Rows to keep; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pieces: deque[Examples] = deque()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def push(self, examples: Examples) -> None:
        """Add rows at the end; the oldest give way."""
        if not self._capacity or not len(examples):
            return
        self._pieces.append(examples)
        self._rows += len(examples)
        while self._rows - len(self._pieces[0]) >= self._capacity:
            self._rows -= len(self._pieces.popleft())

    def pieces(self) -> list[Examples]:
        """Return the last `capacity` rows, oldest first, in pieces."""
        if not self._pieces:
            return []
        beyond = max(0, self._rows - self._capacity)
        first, *others = self._pieces
        return [first.slice(beyond, len(first)), *others]
