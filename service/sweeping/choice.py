"""Which setting is best for a given freshness, and what delay a size adds: plain arithmetic.

An event waits until its microbatch is full, and then for the update. The first one of a microbatch waits longest: at
R events a second, (N - 1) / R seconds until the last of N has come, and then one update. That sum is the added delay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ALIKE = 0.05
"""Share of a rate by which two must differ before they are told apart: runs on a quiet machine differ by as much."""


FULL = 0.8
"""Share of its throughput that a setting is trusted with: rates waver, and one at its limit falls behind at once."""


class Verdict(StrEnum):
    """Whether the setting that is named does what is asked."""

    MET = "met"
    TOO_LATE = "too late"
    TOO_SLOW = "too slow"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a setting.

    Attributes
    ----------
    size
        Events of a microbatch.
    throughput
        Events a second that it learns.
    update
        Seconds that an update takes, at the 99th percentile.
    loss
        Smaller is better: an error, or what a share lacks to 1; None where it is not known over the rows of the others.
    chance
        By how much losses may differ for no reason.
    """

    size: int
    throughput: float
    update: float
    loss: float | None = None
    chance: float = 0.0

    def delay(self, rate: float | None) -> float:
        """Return the added delay, in seconds, at `rate` events a second; None for the highest that it sustains."""
        return (self.size - 1) / (rate or self.throughput) + self.update

    def fits(self, freshness: float, rate: float | None) -> bool:
        """Return whether it does what is asked: see :func:`choose`."""
        return self.sustains(rate) and self.delay(rate) <= freshness

    def sustains(self, rate: float | None) -> bool:
        """Return whether it keeps up with `rate` events a second, and has something to spare."""
        return rate is None or FULL * self.throughput >= rate


@dataclass(frozen=True, slots=True)
class Choice:
    """The setting that is named: its place among the candidates, and whether it does what is asked."""

    place: int
    verdict: Verdict


def choose(candidates: Sequence[Candidate], freshness: float, rate: float | None) -> Choice | None:
    """Return the best setting; None where there is none at all.

    Of those that keep up with the rate and add no more delay than is asked: where the rate is known, the one that
    predicts best, and among those that predict alike, the one with the most to spare; where it is not, the one with the
    highest rate, and among those whose rates are alike, the one that predicts best. Where there is none, the nearest.

    Parameters
    ----------
    candidates
        To choose from.
    freshness
        Seconds that an event may be delayed, at most.
    rate
        Events a second that come; None where nobody knows.
    """
    if not candidates:
        return None
    places = range(len(candidates))
    able = [place for place in places if candidates[place].sustains(rate)]
    if not able:
        return Choice(max(places, key=lambda place: candidates[place].throughput), Verdict.TOO_SLOW)
    fresh = [place for place in able if candidates[place].delay(rate) <= freshness]
    if not fresh:
        return Choice(min(able, key=lambda place: candidates[place].delay(rate)), Verdict.TOO_LATE)
    if rate is None:
        best = _best_scored(candidates, _fastest(candidates, fresh))
        return Choice(min(best, key=lambda place: candidates[place].delay(None)), Verdict.MET)
    best = _best_scored(candidates, fresh)
    return Choice(max(best, key=lambda place: candidates[place].throughput), Verdict.MET)


def _fastest(candidates: Sequence[Candidate], places: Sequence[int]) -> list[int]:
    """Return those whose rate is about the highest."""
    highest = max(candidates[place].throughput for place in places)
    return [place for place in places if candidates[place].throughput >= (1 - ALIKE) * highest]


def _best_scored(candidates: Sequence[Candidate], places: Sequence[int]) -> list[int]:
    """Return those that predict about best; all where nothing is known of any."""
    known = [(place, loss) for place in places if (loss := candidates[place].loss) is not None]
    if not known:
        return list(places)
    best, least = min(known, key=lambda each: each[1])
    return [place for place, loss in known if loss <= least + candidates[best].chance]
