"""When events arrived, and when it is worth looking for more: what keeps a slow stream fresh and cheap.

On the path it stands in the loop that polls (``ingest.py``). How long a microbatch may wait for others counts from when
its first event came into the log: one that took its time on the way to us need not wait as long again. And a poll costs
some tenths of a millisecond however little it brings, so where events trickle they are gathered for a moment; what that
moment costs them is counted as well.
"""

import time
from collections.abc import Callable, Sequence

from consumers.microbatch import Clock
from consumers.records import Records
from consumers.source import Record

_MOST_SHARE = 0.5
"""Of what an event may wait, at most, that the time on its way takes off: clocks of producers may be wrong."""

_LAGGING = 20
"""Times what an event may wait: what is older is a backlog, whose microbatches are better full than soon."""

_FEW = 1000
"""Records of a poll below which it was a trickle: beyond, decoding costs an event as little as it ever will."""

_REST_SHARE, _LONGEST_REST = 0.16, 0.01
"""Of what an event may wait: how long trickling ones are gathered; and the same in seconds, at most."""


class Arrivals:
    """Says when the records of a poll arrived. Owned by one thread.

    Parameters
    ----------
    max_delay
        Seconds that an event may wait for others.
    clock, wall_clock
        Monotonic seconds, and seconds since the epoch, as the log's timestamps have them.
    """

    def __init__(
        self, max_delay: float, clock: Clock = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._max_delay = max_delay
        self._clock = clock
        self._wall_clock = wall_clock
        self._latest = 0.0
        self._polled = 0.0
        self._few_before = self._few = False

    def polled(self, records: Sequence[Record]) -> float:
        """Return when the oldest of `records`, which were polled just now, counts as arrived, in monotonic seconds.

        It is never earlier than for the poll before.
        """
        self._polled = now = self._clock()
        self._few_before, self._few = self._few, 0 < len(records) < _FEW
        self._latest = max(self._latest, now - self._on_its_way(records))
        return self._latest

    def rest(self) -> float:
        """Return the seconds to wait before the next poll: none, unless the last two brought something, and little."""
        if not (self._few and self._few_before):
            return 0.0
        rest = min(_LONGEST_REST, self._max_delay * _REST_SHARE)
        return max(0.0, self._polled + rest - self._clock())

    def _on_its_way(self, records: Sequence[Record]) -> float:
        """Return the seconds that count of those from the log's timestamp until now."""
        if not len(records):
            return 0.0
        if isinstance(records, Records):
            oldest = float(records.appended.min())
        else:
            oldest = min(record.timestamp for record in records)
        age = self._wall_clock() - oldest / 1000
        if not 0 < age < self._max_delay * _LAGGING:
            return 0.0
        return min(age, self._max_delay * _MOST_SHARE)
