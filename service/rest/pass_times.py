"""How many values one pass over the parameters may have: measured while serving, and bounded by what a client waits.

On the path it stands beside the coalescer. A pass takes something whatever is in it, and something for each value.
While the first is most of it, taking more requests along costs them next to nothing; where the second is, as with a
large network, those who are taken along first wait for all others, and it saves nobody anything.
"""

BUDGET = 0.005
"""Seconds that a pass may take because of what was taken along."""

LEAST, MOST = 64, 2048
"""Values that a pass may have whatever was measured, and at most: beyond, taking more along gains little."""

_RENEWED = 1 / 64
"""Share of what is known that each pass renews."""

_UNTIL = 16
"""Passes after which what was measured counts."""


class PassTimes:
    """Remembers what passes took: a line through them, by least squares, in which recent ones count more."""

    def __init__(self) -> None:
        self._passes = 0
        self._values = self._seconds = 0.0
        self._spread = self._together = 0.0

    def note(self, values: int, seconds: float) -> None:
        """Take in what a pass over so many values took."""
        self._passes += 1
        share = max(_RENEWED, 1 / self._passes)
        off_values, off_seconds = values - self._values, seconds - self._seconds
        self._values += share * off_values
        self._seconds += share * off_seconds
        # Welford's way, with weights that fall with age: deviations from the mean before and after.
        self._spread += share * (off_values * (values - self._values) - self._spread)
        self._together += share * (off_values * (seconds - self._seconds) - self._together)

    def most(self) -> int:
        """Return how many values a pass may have."""
        if self._passes < _UNTIL or not self._spread:
            return MOST
        return most_values(*line(self._values, self._seconds, self._spread, self._together))


def line(values: float, seconds: float, spread: float, together: float) -> tuple[float, float]:
    """Return seconds that every pass takes and seconds a value, neither below 0.

    Parameters
    ----------
    values, seconds
        Means over the passes.
    spread, together
        Variance of the values, which is above 0, and covariance of both.
    """
    each = min(max(together / spread, 0.0), seconds / max(values, 1.0))
    return seconds - each * values, each


def most_values(fixed: float, each: float) -> int:
    """Return how many values a pass may have that takes `fixed` seconds, and `each` more a value.

    They may take as long as the pass takes without them, for then taking them along saves half of it or more; and in
    any case as long as the budget lasts.
    """
    if each <= 0:
        return MOST
    return int(min(max(max(fixed, BUDGET - fixed) / each, LEAST), MOST))
