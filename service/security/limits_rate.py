"""How many requests a second each caller may make: a bucket of tokens for each, which fills at that rate.

On the path it stands right after the question of who calls, before anything of a body is read.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST_CALLERS: Final = 10_000
"""Buckets that are kept; the one that was asked longest ago goes. It had time to fill up meanwhile."""


class RateLimit:
    """Counts requests by caller. Belongs to the event loop.

    Parameters
    ----------
    per_second
        Requests a second that a caller may make on the whole; a second's worth of them, and at least one, at once.
    clock
        Monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._most = max(1.0, per_second)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Count a request of `caller`; return 0 where it may go on, else the seconds until the next one may."""
        now = self._clock()
        tokens = self._tokens(caller, now)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate

    def left(self, caller: str) -> float:
        """Return how many requests `caller` may make at once; none is counted."""
        return self._tokens(caller, self._clock())

    def _tokens(self, caller: str, now: float) -> float:
        tokens, at = self._buckets.get(caller, (self._most, now))
        return min(self._most, tokens + (now - at) * self._rate)


def caller_at(host: str) -> str:
    """Return whom an address stands for: a network where anybody has as many addresses as they like (IPv6)."""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
