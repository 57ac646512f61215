"""What a model has done in its whole life: the counters behind the metrics, kept in every checkpoint.

Each event counts once, for the learner that was being served: two learners may both have learned an event (while the
microbatch learner catches up, the online one goes on), so what counts is how far along the stream the served one is.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from service.learning.count import Count
from service.monitoring.histograms import Histogram, learning_histograms
from service.monitoring.status import HistogramStatus


@dataclass(slots=True)
class Totals:
    """Counters of one model. Owned by the learning thread.

    Attributes
    ----------
    events_consumed
        Events passed, usable or not.
    events_learned, updates
        Learner → count.
    duplicates, limited
        Events that were not learned because they had been before, and that were only scored because their source had
        had its share.
    taught, untaught
        Learned events of which a teacher said something; and events of which it was to, but could not be asked.
    drift, drifted_at, drift_noticed_at
        How often drift was certain in the served learner's errors, how many events it had learned when it was last,
        and when that was, in Unix seconds; None where it was noticed while learning again what is in no checkpoint.
    fallbacks
        How often the online learner took over.
    rollbacks
        How often the learner of an earlier version came back.
    halvings
        How often the bound on a microbatch was halved, because one did not fit into the device's memory.
    histograms
        By name, see ``monitoring/histograms.py``.
    """

    events_consumed: int = 0
    events_learned: dict[str, int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    limited: int = 0
    taught: int = 0
    untaught: int = 0
    drift: int = 0
    drifted_at: int = 0
    drift_noticed_at: float | None = None
    fallbacks: int = 0
    rollbacks: int = 0
    halvings: int = 0
    histograms: dict[str, Histogram] = field(default_factory=learning_histograms)

    @property
    def served(self) -> int:
        """Events learned by whichever learner was being served."""
        return sum(self.events_learned.values())

    def reached(self, learner: str, learned: int, consumed: int) -> None:
        """Note that the served learner has learned `learned` events and passed `consumed`, since the stream began."""
        new = learned - self.served
        if new > 0:
            self.events_learned[learner] = self.events_learned.get(learner, 0) + new
        self.events_consumed = max(self.events_consumed, consumed)

    def follow(self, count: Count) -> None:
        """Note what the served lane has met since it began: duplicates, a source's surplus, lessons, drift."""
        self.duplicates = max(self.duplicates, count.duplicates)
        self.limited = max(self.limited, count.limited)
        self.taught, self.untaught = max(self.taught, count.taught), max(self.untaught, count.untaught)
        if count.drift > self.drift:
            self.drift, self.drifted_at, self.drift_noticed_at = count.drift, count.drifted_at, None

    def updated(self, learner: str, rows: int) -> None:
        """Note one served update."""
        self.updates[learner] = self.updates.get(learner, 0) + 1
        self.histograms["microbatch_events"].observe(rows)

    def to_json(self) -> dict[str, Any]:
        """Return it as a checkpoint carries it."""
        return {
            "events_consumed": self.events_consumed,
            "events_learned": dict(self.events_learned),
            "updates": dict(self.updates),
            "duplicates": self.duplicates,
            "limited": self.limited,
            "taught": self.taught,
            "untaught": self.untaught,
            "drift": self.drift,
            "drifted_at": self.drifted_at,
            "drift_noticed_at": self.drift_noticed_at,
            "fallbacks": self.fallbacks,
            "rollbacks": self.rollbacks,
            "halvings": self.halvings,
            "histograms": {name: msgspec.to_builtins(each.to_json()) for name, each in self.histograms.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        saved = msgspec.convert(data["histograms"], dict[str, HistogramStatus])
        counters = {name: value for name, value in data.items() if name != "histograms"}
        return cls(**counters, histograms=learning_histograms(saved))
