"""Which new features get a place: all of the first ones, then those that were met before, then in place of idle ones.

A stream that never stops naming new features must not fill all places for ever. So, once :data:`FREE` features are
known, a new one has to be met in two microbatches before it gets a place (as the doorkeeper of Einziger et al.'s
TinyLFU, 2017, lets nothing in that comes once), and when no place is left, those met most often take over the places
of those that were longest not met. What decides is only what the microbatches held, in their order: learning the same
stream again decides the same again.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.examples import FeatureKey
from models.hashing import hash_value
from models.learner import Array

FREE = 256
"""Numbers, and likewise categories and bags of tokens, that get a place when they are first met."""

IDLE = 512
"""Microbatches without a feature after which another may take over its place."""

EVERY = 16
"""Microbatches from one taking over of places to the next: each costs whoever serves a new layout."""

MOST_TAKEN = 64
"""Places that are taken over at once."""

USUAL = 1 / 8
"""Share of the rows in which a number has to be for its absence to be news."""

CELLS = 1 << 16
_COUNT = np.uint64(0xFF)  # the lowest bits of a cell count; the others are part of the name's hash
_NAMES = ~_COUNT


class Admission:
    """Remembers which features were met, and when. Owned by the trainer's encoder.

    Attributes
    ----------
    turn, rows
        Microbatches so far, and their rows.
    """

    def __init__(self) -> None:
        self.turn = self.rows = 0
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._since: NDArray[np.int64] = np.zeros(0, np.int64)
        self._strings: dict[FeatureKey, int] = {}
        self._before = 0
        self._cells: NDArray[np.uint64] | None = None

    def begin(self, rows: int) -> None:
        """Begin the next microbatch, of so many rows."""
        self.turn += 1
        self.rows += rows
        self._before = self.rows - rows

    def choose(self, new: Sequence[FeatureKey], held: int) -> list[FeatureKey]:
        """Return those of the new features that may have a place, the most deserving first.

        Parameters
        ----------
        new
            Features without a place, in order.
        held
            How many of their sort have one.
        """
        free = max(FREE - held, 0)
        late = new[free:]
        if not late:
            return list(new)
        counts = self._met(late)
        again = sorted((-count, key) for count, key in zip(counts.tolist(), late, strict=True) if count > 1)
        return [*new[:free], *(key for _, key in again)]

    def _met(self, keys: Sequence[FeatureKey]) -> NDArray[np.uint64]:
        """Note that features were met, and return how often they were, in as many microbatches, this one included.

        A cell remembers one feature: where two share it, each makes the other be forgotten.
        """
        if self._cells is None:
            self._cells = np.zeros(CELLS, np.uint64)
        hashes = np.fromiter((hash_value(key, "") for key in keys), np.uint64, len(keys))
        places = (hashes % np.uint64(CELLS)).astype(np.intp)
        held = self._cells[places]
        before = np.where((held ^ hashes) & _NAMES == 0, held & _COUNT, np.uint64(0))
        counts: NDArray[np.uint64] = np.minimum(before + np.uint64(1), _COUNT)
        self._cells[places] = hashes & _NAMES | counts
        return counts

    def met_numbers(self, slots: slice | NDArray[np.intp], held: int) -> None:
        """Note that the numbers in some slots, of so many that there are, were met."""
        more = held - len(self._numbers)
        if more > 0:
            self._numbers = np.append(self._numbers, np.full(more, self.turn))
            self._since = np.append(self._since, np.full(more, self._before))
        self._numbers[slots] = self.turn

    def taken_over(self, slot: int) -> None:
        """Note that the place of a number has another one from now on."""
        self._since[slot] = self._before

    def usual(self, slots: Sequence[int], counts: NDArray[np.float64]) -> list[int]:
        """Return those slots whose numbers are in so many of the rows that their absence is news.

        Parameters
        ----------
        slots
            Some slots.
        counts
            How many values each number has had, this microbatch's included; shape (slots known,).
        """
        picked = np.array(slots, np.intp)
        enough = counts[picked] >= USUAL * (self.rows - self._since[picked])
        return [slot for slot, is_usual in zip(slots, enough.tolist(), strict=True) if is_usual]

    def met_strings(self, keys: Sequence[FeatureKey]) -> None:
        """Note that strings, all of which have a place, were met."""
        self._strings.update(dict.fromkeys(keys, self.turn))

    def forget_strings(self, keys: Iterable[FeatureKey]) -> None:
        """Note that strings have lost their place."""
        for key in keys:
            self._strings.pop(key, None)

    def idle_numbers(self, numbers: Mapping[FeatureKey, int]) -> list[FeatureKey]:
        """Return those numbers, feature → slot, whose place may be taken over now, the longest idle first."""
        if self.turn % EVERY:
            return []
        old = len(self._numbers)  # what got its place just now lies beyond
        found = sorted((int(self._numbers[slot]), slot, key) for key, slot in numbers.items() if slot < old)
        return [key for turn, _, key in found if self.turn - turn > IDLE][:MOST_TAKEN]

    def idle_strings(self, strings: Iterable[FeatureKey]) -> list[FeatureKey]:
        """Return those strings whose place may be taken over now, the longest idle first."""
        if self.turn % EVERY:
            return []
        found = sorted((self._strings.get(key, self.turn), key) for key in strings)
        return [key for turn, key in found if self.turn - turn > IDLE][:MOST_TAKEN]

    def state(self, strings: Iterable[FeatureKey]) -> dict[str, Array]:
        """Return what :meth:`restore` takes back, copied; strings in the order in which they are handed back."""
        used = np.array([self._strings.get(key, self.turn) for key in strings], np.int64)
        state: dict[str, Array] = {"turn": np.array([self.turn, self.rows]), "strings": used}
        state["numbers"] = np.stack([self._numbers, self._since])
        if self._cells is not None:
            state["cells"] = self._cells.copy()
        return state

    def restore(self, arrays: Mapping[str, Array], numbers: int, strings: Iterable[FeatureKey]) -> None:
        """Become what :meth:`state` was taken from; a state without any is of before there was an admission."""
        if not arrays:
            self._numbers, self._since = np.zeros(numbers, np.int64), np.zeros(numbers, np.int64)
            self._strings = dict.fromkeys(strings, 0)
            return
        self.turn, self.rows = arrays["turn"].tolist()
        self._numbers, self._since = arrays["numbers"].copy()
        self._strings = dict(zip(strings, arrays["strings"].tolist(), strict=True))
        self._cells = arrays["cells"].copy() if "cells" in arrays else None
