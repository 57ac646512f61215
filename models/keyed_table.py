"""Which keys have their parameters at hand, and which of them has to go when another comes. For ``keyed.py``.

A key has a slot: a row of the tensors that hold all keys' parameters. When all slots are taken, the keys that were
learned longest ago give theirs up, some at a time, and what was learned of them is spilled (``keyed_spill.py``). All of
it follows from the keys that were learned, in their order, so that a replay decides the same again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_layout import power_of_two
from models.keyed_index import FREE, NOWHERE, WAYS, KeyIndex
from models.learner import Array, Json
from models.touched import Ranges, Touched

FEWEST = 64  # slots that there are from the beginning, unless fewer are asked for
AT_ONCE = 64  # where slots have to be given up, it is so many'th part of them: looking for them costs the same

Places = NDArray[np.int64]


class Admitted(NamedTuple):
    """What became of some keys.

    Attributes
    ----------
    slots
        Of each key, int64, shape (keys,); :data:`NOWHERE` where its bucket is full of keys that came with it.
    fresh
        Which of the keys were not there before; int64, in order.
    gone_slots, gone_keys
        Slots that were given up, whose rows still hold what was learned, and the hashes of whose keys; some of these
        slots are among `slots` already.
    """

    slots: Places
    fresh: Places
    gone_slots: Places
    gone_keys: Places


class KeyTable:
    """Slots of keys.

    Parameters
    ----------
    most
        Keys that have a slot at once, at most.

    Attributes
    ----------
    index
        Hash → slot.
    owners
        Slot → hash, int64, shape (capacity,); 0 where it is free.
    used
        Slot → number of the microbatch in which its key was last learned, int64, shape (capacity,).
    now
        Number of the microbatch.
    evictions
        How often a key gave up its slot.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.index = KeyIndex(most)
        capacity = min(FEWEST, most)
        self.owners = np.full(capacity, FREE, np.int64)
        self.used = np.zeros(capacity, np.int64)
        self.now = self.evictions = 0
        self._touched = Touched()

    @property
    def capacity(self) -> int:
        """Slots that there are now."""
        return len(self.owners)

    @property
    def resident(self) -> int:
        """Keys that have a slot."""
        return int(np.count_nonzero(self.owners))

    def admit(self, keys: Places) -> Admitted:
        """Give slots to keys that are learned now, in the order in which they came.

        Parameters
        ----------
        keys
            Hashes, int64, each there once; not more than :attr:`most`.
        """
        slots = self.index.find(keys)
        met = slots[slots != NOWHERE]
        self.used[met] = self.now
        fresh = np.flatnonzero(slots == NOWHERE)
        if not len(fresh):
            nothing = np.empty(0, np.int64)
            return Admitted(slots, fresh, nothing, nothing)
        gone = self._make_room(len(fresh))
        free = np.flatnonzero(self.owners == FREE)[: len(fresh)]
        for row, slot in zip(fresh.tolist(), free.tolist(), strict=True):
            key = int(keys[row])
            place = self.index.insert(key, slot)
            if place is None:
                oldest = self._oldest_of(self.index.bucket(key))
                if oldest == NOWHERE:
                    continue
                gone.append((oldest, self._give_up(oldest)))
                place = self.index.insert(key, slot)
            assert place is not None, "a place was just given up"  # noqa: S101
            self._touched.add(np.array([place.bucket]))
            self.owners[slot], self.used[slot], slots[row] = key, self.now, slot
        self.evictions += len(gone)
        pairs = np.array(gone, np.int64).reshape(-1, 2)
        return Admitted(slots, fresh[slots[fresh] != NOWHERE], pairs[:, 0], pairs[:, 1])

    def _make_room(self, needed: int) -> list[tuple[int, int]]:
        """Have so many free slots: more of them, or those of the keys learned longest ago; return these, and whose."""
        # There may be more slots than keys may have now: from when more were configured.
        missing = needed - (min(self.capacity, self.most) - self.resident)
        if missing <= 0:
            return []
        larger = min(power_of_two(self.capacity + missing, FEWEST), self.most)
        more = larger - self.capacity
        if more > 0:
            self.owners = np.pad(self.owners, (0, more), constant_values=FREE)
            self.used = np.pad(self.used, (0, more))
            missing -= more
        if missing <= 0:
            return []
        idle = np.flatnonzero((self.owners != FREE) & (self.used < self.now))
        oldest = idle[np.argsort(self.used[idle], kind="stable")]
        going = oldest[: max(missing, self.capacity // AT_ONCE)].tolist()
        return [(slot, self._give_up(slot)) for slot in going]

    def _give_up(self, slot: int) -> int:
        """Take a slot from its key; return the key's hash."""
        key = int(self.owners[slot])
        self._touched.add(np.array([self.index.remove(key).bucket]))
        self.owners[slot] = FREE
        return key

    def _oldest_of(self, bucket: Places) -> int:
        """Return the slot of a full bucket's key that was learned longest ago; NOWHERE where all are learned now."""
        slots = self.index.find(bucket)
        oldest = int(slots[self.used[slots].argmin()])
        return oldest if self.used[oldest] < self.now else NOWHERE

    def changed(self) -> Ranges:
        """Return which flat elements of the index's arrays changed since the last call."""
        return self._touched.take((len(self.index.hashes), WAYS))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return all that it is."""
        meta = {"now": self.now, "evictions": self.evictions}
        return meta, {"owners": self.owners, "used": self.used, **self.index.arrays()}

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from; arrays are taken as they are."""
        self.now, self.evictions = meta["now"], meta["evictions"]
        self.owners, self.used = arrays["owners"], arrays["used"]
        if arrays["hashes"].size >= self.index.hashes.size:
            self.index.attach(arrays)
        else:  # fewer keys were configured
            for slot in np.flatnonzero(self.owners).tolist():
                if self.index.insert(int(self.owners[slot]), slot) is None:
                    self.owners[slot] = FREE
        self._touched.add_all()
