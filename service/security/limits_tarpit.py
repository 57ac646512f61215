"""Refusals that come by the hundreds a second are given slowly: else giving them is all that the server does.

On the path it stands between the gate's decision and its answer. A client that asks again as soon as it is refused
takes tens of microseconds of the event loop each time, twenty thousand times a second, and all who were let in wait for
that. One whose refusal takes a second to come asks once a second. In the field such a delay is called a tarpit.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from service.security.limits_rate import RateLimit

QUICK_OF_ONE: Final = 100.0
"""Refusals a second that one caller gets at once: whoever asks a few times too often notices nothing."""

QUICK_OF_ALL: Final = 500.0
"""The same of all callers together, for floods from everywhere; so many take about two percent of a core."""

SHORTEST: Final = 0.5
LONGEST: Final = 1.0
"""Seconds that the others take; no more than the least that ``Retry-After`` can say."""

MOST_WAITING: Final = 1000
"""Refusals that wait at once; each holds a task and what has arrived of a body, 64 KiB at most."""

_GOLDEN: Final = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, spread evenly however many there are (Weyl's sequence)."""


class Tarpit:
    """Holds up refusals where there are many. Belongs to the event loop.

    Parameters
    ----------
    sleep
        Waits for so many seconds.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._of_one = RateLimit(QUICK_OF_ONE, clock)
        self._of_all = RateLimit(QUICK_OF_ALL, clock)
        self._waiting = 0
        self._turn = 0.0

    def floods(self, caller: str) -> bool:
        """Whether `caller` was refused so often lately that its refusals wait, or did a moment ago."""
        return self._of_one.left(caller) < QUICK_OF_ONE / 2

    async def hold(self, caller: str) -> bool:
        """Wait until a refusal of `caller` may be given, which mostly is at once.

        Returns
        -------
        bool
            False where it could not wait, for too many do: its connection should be closed.
        """
        # One caller's flood uses up its own share only: somebody else's single refusal still comes at once.
        if not self._of_one.wait(caller) and not self._of_all.wait(""):
            return True
        if self._waiting >= MOST_WAITING:
            return False
        # Each waits for another while: connections that were refused together would come back together.
        self._turn = (self._turn + _GOLDEN) % 1.0
        self._waiting += 1
        try:
            await self._sleep(SHORTEST + self._turn * (LONGEST - SHORTEST))
        finally:
            self._waiting -= 1
        return True
