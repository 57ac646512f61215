"""How much a server takes on at once: beyond it a request is turned away at once, so that those taken stay quick.

On the path it stands between a request's body and what is done with it: a client that is slow to send keeps no place.
Each kind of request has places of its own, so that events which wait for a broker never keep predictions out.
"""

import threading

from service.config import Settings
from service.errors import RequestInvalid
from service.security_access import Lane

RETRY_AFTER = 1.0
"""Seconds after which somebody who was turned away may come again."""


class Places:
    """Requests of one kind that are being answered; a context holds one place. Belongs to the event loop.

    Parameters
    ----------
    most
        How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def full(self) -> bool:
        """Whether the next one would be turned away."""
        return self._taken >= self._most

    def __enter__(self) -> None:
        """Take a place; raise a 503 where there is none."""
        if self.full:
            raise turned_away()
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        self._taken -= 1


class Budget:
    """An amount of something that is in hand, such as rows or bytes. Threads may share it.

    Parameters
    ----------
    most
        How much there may be; a single taker may have more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()

    def take(self, amount: int, mine: int = 0) -> None:
        """Take `amount` more, to be given back; `mine` is what the same taker holds already.

        Raises
        ------
        RequestInvalid
            503 where others hold too much.
        """
        if not amount:
            return
        with self._lock:
            if self._held > mine and self._held + amount > self._most:
                raise turned_away()
            self._held += amount

    def give_back(self, amount: int) -> None:
        """Give back what was taken."""
        if not amount:
            return
        with self._lock:
            self._held -= amount


class Admission:
    """What a server process has taken on.

    Attributes
    ----------
    lanes
        Places by kind of request; probes need none.
    body_bytes
        Of large bodies that have arrived, wholly or in part.
    rows
        Instances and events that are being dealt with.
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self.lanes: dict[Lane, Places] = {
            "predict": Places(limits.max_concurrent),
            "ingest": Places(limits.max_concurrent),
            "other": Places(limits.max_concurrent),
        }
        self.body_bytes = Budget(limits.max_queued_bytes)
        self.rows = Budget(limits.max_queued_rows)


def turned_away() -> RequestInvalid:
    """Return the error that says to come again."""
    return RequestInvalid("as much is being answered as can be at once; ask again", 503, retry_after=RETRY_AFTER)
