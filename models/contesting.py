"""What whoever feeds a learner must know of a contest, light to import: it may be one learner, or several.

:class:`models.contest.Contest` is the one that has challengers. Whether a learner is one is asked here, and how one
goes on from the state of the other.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.contest_rules import FIRST
from models.errors import StateMismatch
from models.learner import Json, Learner, LearnerState

KEY = "contest"
"""What a contest's state has beside its champion's."""

MARK = "@"
"""Segments of a challenger are called as its learner calls them, with this and the challenger's name behind."""


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened to a contender of itself: it was ``put_out``, or ``promoted``."""

    kind: Literal["put_out", "promoted"]
    name: str
    reason: str


class Contesting(ABC):
    """A learner that has challengers: see :class:`models.contest.Contest`.

    A class and no protocol: with every microbatch it is asked whether a learner is one, and a protocol takes nine
    microseconds to say no.
    """

    champion: str
    promotions: int
    put_outs: int

    @property
    @abstractmethod
    def answering(self) -> Learner:
        """The champion's learner."""

    @abstractmethod
    def tell_time(self, seconds: float) -> None:
        """Say how far the log's time has come."""

    @abstractmethod
    def take_news(self, *, live: bool = True) -> Sequence[News]:
        """Return what has happened since the last call."""

    @abstractmethod
    def why_not(self, name: str) -> str:
        """Return why somebody cannot be made champion."""

    @abstractmethod
    def promote(self, name: str) -> None:
        """Have a challenger take the champion's place."""

    @abstractmethod
    def put_out(self, name: str, reason: str) -> None:
        """Have a challenger learn and answer no more."""


def answering(learner: Learner) -> Learner:
    """Return the learner whose answers are served: the champion's where there are challengers."""
    return learner.answering if isinstance(learner, Contesting) else learner


def tell_time(learner: Learner, seconds: float) -> None:
    """Say how far the log's time, in seconds since the epoch, has come before the next microbatch is learned."""
    if isinstance(learner, Contesting):
        learner.tell_time(seconds)


def count_on(learner: Learner, before: Learner) -> None:
    """Have a learner that was brought back count on from the one before: a switch has been one, whatever came of it."""
    if isinstance(learner, Contesting) and isinstance(before, Contesting):
        learner.promotions, learner.put_outs = before.promotions, before.put_outs


def alone(state: LearnerState) -> LearnerState:
    """Return what of a state is the champion's own: that of a learner without challengers."""
    if KEY not in state.meta:
        return state
    meta = {name: value for name, value in state.meta.items() if name != KEY}
    arrays = {name: array for name, array in state.arrays.items() if MARK not in name.partition("/")[0]}
    return LearnerState(meta, arrays)


def champions_options(state: LearnerState) -> Json | None:
    """Return what the champion of a state is built from; None where it had no challengers."""
    if KEY not in state.meta:
        return None
    found: Json = state.meta[KEY]["contenders"][state.meta[KEY]["champion"]]["options"]
    return found


def restore(learner: Learner, state: LearnerState) -> None:
    """Restore a learner, with challengers or without, from a state, with challengers or without.

    Raises
    ------
    StateMismatch
    """
    if isinstance(learner, Contesting):
        learner.restore(state)
        return
    champion = state.meta.get(KEY, {}).get("champion", FIRST)
    try:
        learner.restore(alone(state))
    except StateMismatch as error:
        if champion == FIRST:
            raise
        raise StateMismatch(f"{goes_on(champion)} ({error})") from error


def goes_on(champion: str) -> str:
    """Return what an operator is to do about a champion whom the configuration does not know."""
    return (
        f"the challenger {champion!r} was promoted and is the champion: keep it under challengers, or make its learner "
        "the model's own (learner: …)"
    )
