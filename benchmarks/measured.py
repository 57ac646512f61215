"""One measurement of a rate, and a series of them, round by round; a ratio is taken between neighbours in time.

A machine that others share drifts within seconds, so that a rate alone says little. What others are compared with is
measured before and after each of them (:meth:`Series.over`), and the processor time an event is told beside: that
hardly depends on who else is busy.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.report import Result


class MeasurementFailed(Exception):
    """Nothing was measured; the message says why, in a line."""


@dataclass(frozen=True)
class Measured:
    """What one measurement found.

    Attributes
    ----------
    events, seconds
        How many events went through in how many seconds.
    processor_seconds
        Processor time that the measured processes took meanwhile, on all cores together.
    versions
        Of the libraries that are measured, where they are not those of this environment.
    """

    events: float
    seconds: float
    processor_seconds: float
    versions: str = ""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of processor time an event."""
        return self.processor_seconds / self.events * 1e6


@dataclass
class Series:
    """The measurements of one thing, one a round.

    Attributes
    ----------
    name, note
        As in :class:`benchmarks.report.Result`; without a note, the versions of what was measured.
    measured
        What was found, until it failed.
    failure
        Why there is no more of it.
    """

    name: str
    note: str = ""
    measured: list[Measured] = field(default_factory=list)
    failure: str = ""

    def take(self, measure: Callable[[], Measured]) -> None:
        """Measure once more; what failed before is not tried again."""
        if self.failure:
            return
        try:
            self.measured.append(measure())
        except MeasurementFailed as failure:
            self.failure = str(failure)

    @property
    def rate(self) -> Result:
        """Events a second, by round."""
        note = self.note or (self.measured[-1].versions if self.measured else "")
        return Result(self.name, "events/s", [each.rate for each in self.measured], note, failure=self.failure)

    @property
    def cost(self) -> Result:
        """Processor time an event, by round."""
        values = [each.cost for each in self.measured]
        return Result(f"{self.name}: processor time", "µs an event", values, failure=self.failure)

    def over(self, base: "Series", name: str, bar: float | None = None) -> Result:
        """Return this rate over that of `base`, which was measured before and after each round of this."""
        bases = between([each.rate for each in base.measured])
        values = [one.rate / other for one, other in zip(self.measured, bases, strict=False)]
        return Result(name, "×", values, bar=bar, failure="" if values else self.failure or base.failure)


def costs(*series: Series) -> list[Result]:
    """Return the processor time an event of all that were measured; the rates say why others were not."""
    return [each.cost for each in series if each.measured]


def between(values: Sequence[float]) -> list[float]:
    """Return the mean of each value and the next, one fewer than there are values."""
    return [(one + other) / 2 for one, other in itertools.pairwise(values)]
