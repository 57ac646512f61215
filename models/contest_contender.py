"""One of those who learn the same stream: :class:`Contender`, the champion or a challenger, and how it stands."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from models.contest_pair import Pair
from models.learner import Learner, LearnerOptions

LOOK_EVERY = 128
"""Microbatches over which the time that learning takes is compared: batch training works by fits and starts."""

LEAST_SECONDS = 1.0
"""Of learning in so many microbatches, below which a challenger is in nobody's way, however fast the champion is."""

MOST_SECONDS = 30.0
"""Of learning after which a challenger is looked at however few microbatches these were."""


@dataclass(slots=True)
class Pace:
    """What learning costs one contender, by the clock: of this process only, and in no state.

    Attributes
    ----------
    seconds, rows
        Spent, and learned in it, since the process began.
    recent
        Seconds since :data:`LOOK_EVERY` microbatches were looked at last.
    """

    seconds: float = 0.0
    rows: int = 0
    recent: float = 0.0

    @contextmanager
    def taken(self, rows: int) -> Iterator[None]:
        """Count the time that something takes for so many rows."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds += spent
            self.recent += spent
            self.rows += rows

    def per_event(self) -> float | None:
        """Return seconds for each row; None before any."""
        return self.seconds / self.rows if self.rows else None


@dataclass(slots=True)
class Contender:
    """A learner among those who learn the same stream.

    Attributes
    ----------
    name, options
        What it is called, and built from.
    learner
        None once it was put out.
    rows
        How many it has learned beside others.
    tests
        How many tests it has undergone, the one that runs included.
    pair
        The test that runs; None of the champion, and of one that was put out.
    out
        Why it was put out; empty where it was not.
    pace
        What its learning costs.
    """

    name: str
    options: LearnerOptions
    learner: Learner | None
    rows: int = 0
    tests: int = 0
    pair: Pair | None = None
    out: str = ""
    pace: Pace = field(default_factory=Pace)

    def put_out(self, reason: str) -> None:
        """Have it learn and answer no more; how far it had come is of no interest any more."""
        self.learner, self.pair, self.out, self.rows = None, None, reason, 0

    def options_json(self) -> dict[str, Any]:
        """Return what it is built from as a state carries it."""
        found = asdict(self.options)
        return {**found, "network": dict(found["network"])}
