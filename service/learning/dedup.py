"""Which events were sent twice: the ids of the last events that had one, and a quick way to find an id among them.

On the path it stands right before the learner (``screen.py``), for only there the order of events is the same again
when a restart learns them once more. An event is a duplicate if one of the `window` events with an id before it had
the same id, be that one a duplicate itself: so what is one depends on the events' order alone, and not on how they
were cut into microbatches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.learner import LearnerState
from service.errors import CheckpointInvalid

Ids = NDArray[np.uint64]

SCHEMA = 1
BLOCK = 1 << 16
"""Ids in one array of the state: a checkpoint writes only the blocks that changed."""

_FEWEST = 8192  # recent ids that are kept apart at least, before they are merged with the older ones
_SHARE = 16  # the window over this is how many are at most


class _Index(NamedTuple):
    """Ids in the order of their first words.

    Attributes
    ----------
    words
        uint64, ascending.
    numbers
        int64; the number of the event that each is the id of, ascending among equal words.
    """

    words: NDArray[np.uint64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, words: NDArray[np.uint64], numbers: NDArray[np.int64]) -> "_Index":
        """Return the index of some ids, which come in the order of their numbers."""
        order = words.argsort(kind="stable")
        return cls(words[order], numbers[order])

    def merged(self, other: "_Index", oldest: int) -> "_Index":
        """Return both, of which all numbers of `other` are above these, without those below `oldest`."""
        words = np.concatenate([self.words, other.words])
        numbers = np.concatenate([self.numbers, other.numbers])
        # Two sorted runs: a stable sort only merges them.
        order = words.argsort(kind="stable")
        order = order[numbers[order] >= oldest]
        return _Index(words[order], numbers[order])

    def newest(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the highest number of each word, -1 where it is not here."""
        if not len(self.words):
            return np.full(len(words), -1, np.int64)
        places = self.words.searchsorted(words, side="right") - 1
        return np.where((places >= 0) & (self.words[places] == words), self.numbers[places], -1)


_NOTHING = _Index(np.empty(0, np.uint64), np.empty(0, np.int64))


class DedupWindow:
    """The ids of the last events that had one. Owned by one thread.

    Parameters
    ----------
    window
        How many; at least 1.

    Attributes
    ----------
    seen
        Events with an id so far.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.seen = 0
        self._ring: Ids = np.zeros((window, 2), np.uint64)
        self._old = self._new = _NOTHING

    def duplicates(self, ids: Ids) -> NDArray[np.bool_]:
        """Return which rows are duplicates, of events before or of rows before; changes nothing.

        Parameters
        ----------
        ids
            Digests, shape (rows, 2); zeros for an event without an id, which is never a duplicate.
        """
        named = np.flatnonzero(ids.any(axis=1))
        found = np.zeros(len(ids), np.bool_)
        found[named] = self._among_named(ids[named])
        return found

    def _among_named(self, ids: Ids) -> NDArray[np.bool_]:
        numbers = self.seen + np.arange(len(ids))
        words = ids[:, 0]
        before = np.maximum(self._old.newest(words), self._new.newest(words))
        # The second words are compared as well.
        close = (before >= 0) & (before >= numbers - self.window)
        found: NDArray[np.bool_] = close & (self._ring[before % self.window, 1] == ids[:, 1])
        order = np.lexsort((ids[:, 1], words))
        again = (ids[order[1:]] == ids[order[:-1]]).all(axis=1) & (np.diff(order) <= self.window)
        found[order[1:][again]] = True
        return found

    def add(self, ids: Ids) -> None:
        """Remember the ids of rows, duplicates included."""
        ids = ids[ids.any(axis=1)]
        numbers = self.seen + np.arange(len(ids))
        self.seen += len(ids)
        kept = ids[-self.window :]
        self._ring[numbers[-self.window :] % self.window] = kept
        oldest = self.seen - self.window
        self._new = self._new.merged(_Index.of(kept[:, 0], numbers[-self.window :]), oldest)
        if len(self._new.words) > max(_FEWEST, self.window // _SHARE):
            self._old, self._new = self._old.merged(self._new, oldest), _NOTHING

    def state(self) -> LearnerState:
        """Return what :meth:`restore` takes back, copied."""
        held = min(self.seen, self.window)
        blocks = {
            f"dedup{start // BLOCK}/ids": self._ring[start : min(start + BLOCK, held)].copy()
            for start in range(0, held, BLOCK)
        }
        return LearnerState({"schema": SCHEMA, "window": self.window, "seen": self.seen}, blocks)

    def restore(self, state: LearnerState) -> None:
        """Become what `state` was taken from; a window of another length keeps the newest ids that it holds.

        Raises
        ------
        CheckpointInvalid
        """
        if state.meta.get("schema") != SCHEMA:
            raise CheckpointInvalid(
                f"the checkpoint's ids of past events are of schema {state.meta.get('schema')!r}, this version reads "
                f"{SCHEMA}: use the version of Headrace that wrote it, or set events.dedup_window to 0 to forget them"
            )
        length, self.seen = int(state.meta["window"]), int(state.meta["seen"])
        ring = np.zeros((length, 2), np.uint64)
        for name, block in state.arrays.items():
            start = int(name.removeprefix("dedup").partition("/")[0]) * BLOCK
            ring[start : start + len(block)] = block
        numbers = np.arange(max(0, self.seen - min(length, self.window)), self.seen)
        self._ring[numbers % self.window] = ring[numbers % length]
        self._old, self._new = _Index.of(self._ring[numbers % self.window, 0], numbers), _NOTHING
