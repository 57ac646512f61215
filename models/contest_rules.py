"""How challengers are judged beside a champion: :class:`ContestRules`, the section ``models.NAME.contest``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.examples import Task

Measure = Literal["auto", "log_loss", "error", "absolute_error", "squared_error"]
Promotion = Literal["by-hand", "when-significant"]

FIRST = "learner"
"""What the learner of ``models.NAME.learner`` is called beside its challengers: the champion of the beginning."""

MEASURES: Mapping[Task, tuple[Measure, ...]] = {
    Task.BINARY: ("log_loss", "error"),
    Task.MULTICLASS: ("log_loss", "error"),
    Task.REGRESSION: ("absolute_error", "squared_error"),
}
"""Task → what errors can be measured by; the first is the one that ``auto`` means."""


@dataclass(frozen=True, slots=True)
class ContestRules:
    """What makes a challenger the champion.

    Attributes
    ----------
    promote
        ``by-hand``, or ``when-significant``: by itself.
    level
        The chance that any of them, ever, is called better without being so. It is shared among all who learn, and
        the share of each among the tests that it undergoes.
    measure
        What is compared: see :mod:`models.contest_losses`; ``auto`` is the log loss or the absolute error.
    hold_events, hold_seconds
        For how many compared rows, and seconds of the log's time, a challenger must have been significantly better
        without a break before it is promoted by itself.
    begin_after
        Rows that a challenger has learned before it is compared, and before it answers anybody: one that is new is
        no match for one that has learned.
    restart_events
        Compared rows after which a test begins anew, at a smaller level, so that a long past does not outweigh the
        present; 0: only after a switch.
    slowest
        Times the champion's own time for learning, at which a challenger is put out.
    answers
        Contender → share of the requests that it answers while it is a challenger; the rest is the champion's.
    """

    promote: Promotion = "by-hand"
    level: float = 0.05
    measure: Measure = "auto"
    hold_events: int = 10_000
    hold_seconds: float = 0.0
    begin_after: int = 1_000
    restart_events: int = 0
    slowest: float = 50.0
    answers: Mapping[str, float] = field(default_factory=dict)

    def measure_for(self, task: Task) -> Measure:
        """Return what errors are measured by."""
        return MEASURES[task][0] if self.measure == "auto" else self.measure

    def level_of(self, test: int, contenders: int) -> float:
        """Return the level of somebody's test number `test`, from 1, where so many learn in all.

        The shares of all tests of all of them, 1/2 + 1/6 + 1/12 + … each, add up to `level`.
        """
        return self.level / contenders / (test * (test + 1))
