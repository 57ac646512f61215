"""How much a server takes on at once: beyond it a request is turned away at once, so that those taken stay quick.

On the path it stands between a request's body and what is done with it: a client that is slow to send keeps no place.
Each kind of request has places of its own, so that events which wait for a broker never keep predictions out. Where
there are several models, none may take so much that nothing is left for the others.
"""

import threading

from service.config import Settings
from service.errors import RequestInvalid
from service.security.access import Lane

RETRY_AFTER = 1.0
"""Seconds after which somebody who was turned away may come again."""


def most_of_one(most: int) -> int:
    """Return how much of something one of several may have: three quarters, so that nobody keeps all others out."""
    return max(1, most * 3 // 4)


class Places:
    """Requests of one kind that are being answered. Belongs to the event loop.

    Parameters
    ----------
    most
        How many there may be. One caller may have three quarters of them, so that nobody can keep all others out, and
        one that floods an eighth: whoever is let in waits for what is being answered beside it.

    Attributes
    ----------
    divided
        Whether there are several models, of which one may have three quarters, whoever asks it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = most_of_one(most)
        self._most_of_flooder = max(1, most // 8)
        self._taken = 0
        self._by_caller: dict[str, int] = {}
        self._by_model: dict[str, int] = {}
        self.divided = False

    def full_for(self, caller: str | None, *, floods: bool = False) -> bool:
        """Whether the next request of `caller` would be turned away.

        Parameters
        ----------
        caller
            None for one that is not known by a key.
        floods
            Whether it asks on and on although it is refused.
        """
        if self._taken >= self._most:
            return True
        most = self._most_of_flooder if floods else self._most_of_one
        return caller is not None and self._by_caller.get(caller, 0) >= most

    def one(self, caller: str | None, model: str | None = None) -> "Place":
        """Return a place for a request of `caller` to `model`: a context, which raises a 503 where there is none."""
        return Place(self, caller, model)

    def take(self, caller: str | None, model: str | None = None) -> None:
        """Take a place; see :meth:`one`."""
        if self.full_for(caller) or (self.divided and self._by_model.get(model or "", 0) >= self._most_of_one):
            raise turned_away()
        self._taken += 1
        if caller is not None:
            self._by_caller[caller] = self._by_caller.get(caller, 0) + 1
        if model is not None:
            self._by_model[model] = self._by_model.get(model, 0) + 1

    def give_back(self, caller: str | None, model: str | None = None) -> None:
        """Give a place back."""
        self._taken -= 1
        if caller is not None:
            _one_less(self._by_caller, caller)
        if model is not None:
            _one_less(self._by_model, model)


def _one_less(counts: dict[str, int], name: str) -> None:
    left = counts[name] - 1
    if left:
        counts[name] = left
    else:
        del counts[name]


class Place:
    """A place that is held for as long as this context lasts.

    Parameters
    ----------
    places
        Among which it is.
    caller, model
        Whose it is, and whom it asks.
    """

    __slots__ = ("_caller", "_model", "_places")

    def __init__(self, places: Places, caller: str | None, model: str | None) -> None:
        self._places = places
        self._caller = caller
        self._model = model

    def __enter__(self) -> None:
        self._places.take(self._caller, self._model)

    def __exit__(self, *_: object) -> None:
        self._places.give_back(self._caller, self._model)


class Budget:
    """An amount of something that is in hand, such as rows or bytes. Threads may share it.

    Parameters
    ----------
    most
        How much there may be; a single taker may have more.

    Attributes
    ----------
    divided
        Whether there are several models, of which one may have three quarters.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._by_model: dict[str, int] = {}
        self._lock = threading.Lock()
        self.divided = False

    def take(self, amount: int, mine: int = 0, model: str | None = None) -> None:
        """Take `amount` more for `model`, to be given back; `mine` is what the same taker holds already.

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
            if model is not None:
                held = self._by_model.get(model, 0)
                if self.divided and held and held + amount > most_of_one(self._most):
                    raise turned_away()
                self._by_model[model] = held + amount
            self._held += amount

    def give_back(self, amount: int, model: str | None = None) -> None:
        """Give back what was taken."""
        if not amount:
            return
        with self._lock:
            self._held -= amount
            if model is not None:
                self._by_model[model] -= amount
                if not self._by_model[model]:
                    del self._by_model[model]


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

    def divide(self, models: int) -> None:
        """Keep something for each of so many models, or for the only one all there is."""
        self.rows.divided = models > 1
        for lane in self.lanes.values():
            lane.divided = models > 1


def turned_away() -> RequestInvalid:
    """Return the error that says to come again."""
    return RequestInvalid("as much is being answered as can be at once; ask again", 503, retry_after=RETRY_AFTER)
