"""Trainers of models that were added while the service runs: they begin within a moment, and end with their models.

A trainer follows its model by itself (``roster/following.py``): where the model was removed it clears it away and ends.
Here is only seen to it that there is one for each model, and none for what is no more.
"""

import time
from collections.abc import Callable

import structlog

from service.errors import ServiceError
from service.roster.roster import Roster
from service.supervision.half import Half

_EVERY = 0.25
"""Seconds between two looks."""

_log = structlog.get_logger("headrace.supervisor")


class AddedTrainers:
    """Keeps one trainer for each added model. Owned by the supervisor's thread.

    Parameters
    ----------
    roster
        Knows the models.
    make
        Gives what runs the trainer of a model, not yet started.
    patience
        Seconds that a trainer has for ending once there is nothing left for it to do.
    """

    def __init__(self, roster: Roster, make: Callable[[str], Half], patience: float) -> None:
        self._roster = roster
        self._make = make
        self._patience = patience
        self._halves: dict[str, Half] = {}
        self._ending: list[tuple[Half, float]] = []
        self._look_at = 0.0
        self._problem = ""

    @property
    def halves(self) -> list[Half]:
        """Those that may be running."""
        return [*self._halves.values(), *(half for half, _ in self._ending)]

    def watch(self) -> None:
        """Start what is to run, and end what is not; what died is started again when its time comes."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _EVERY
        # First: the trainer of a model that was removed has ended because of that, and is not to be started again.
        self._follow(now)
        for half in self._halves.values():
            half.watch()
        for half, until in self._ending:
            if now >= until:
                half.wait(until)
        self._ending = [(half, until) for half, until in self._ending if not half.gone()]

    def _follow(self, now: float) -> None:
        wanted = self._wanted()
        for name in sorted(wanted - self._halves.keys()):
            half = self._halves[name] = self._make(name)
            half.start()
        for name in self._halves.keys() - wanted:
            half = self._halves.pop(name)
            half.end()
            self._ending.append((half, now + self._patience))

    def _wanted(self) -> set[str]:
        """Return whom to train; as before while that cannot be seen."""
        try:
            wanted, self._problem = self._roster.wanted(), ""
        except ServiceError as error:
            if str(error) != self._problem:
                _log.error("which models were added cannot be seen", reason=str(error))
            self._problem = str(error)
            return set(self._halves)
        return wanted
