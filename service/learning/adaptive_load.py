"""The load on a learner: how many events come a second, and how many wait. What ``adaptive.py`` decides by."""

import math
from dataclasses import dataclass

MEMORY = 1.0  # seconds after which what came counts 1/e
SHORTEST = 0.1  # seconds between two looks at what has come: polls bring events in lumps


@dataclass(slots=True)
class Load:
    """What there is to do.

    Attributes
    ----------
    rate
        Events that come a second.
    waiting
        Events that have come and are not learned yet.
    """

    rate: float = 0.0
    waiting: float = 0.0
    _arrived: float | None = None
    _looked: float = 0.0

    def look(self, now: float, arrived: float, waiting: float) -> None:
        """Take in what there is now.

        Parameters
        ----------
        now
            Monotonic seconds.
        arrived
            Events that have come since any fixed moment; one that is less than before, or none before, begins anew.
        waiting
            Events that wait.
        """
        self.waiting = waiting
        if self._arrived is None or arrived < self._arrived:
            self._arrived, self._looked = arrived, now
            return
        passed = now - self._looked
        if passed < SHORTEST:
            return
        part = 1.0 - math.exp(-passed / MEMORY)
        self.rate += part * ((arrived - self._arrived) / passed - self.rate)
        self._arrived, self._looked = arrived, now
