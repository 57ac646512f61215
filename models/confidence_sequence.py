"""The mean of bounded numbers, with bounds that hold at every moment: who looks after each microbatch is not misled.

An interval of the usual kind holds at one number of rows that was fixed beforehand; looked at again and again, it
leaves the truth out sooner or later. A confidence sequence holds at all numbers of rows together: the chance that it
ever leaves it out is `level` (Howard, Ramdas, McAuliffe and Sekhon, 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences"; for two forecasters Choe and Ramdas, 2023, "Comparing sequential forecasters").

What it is about is the *average so far of the conditional means*: of each number, what was to be expected of it given
all before. Nothing is assumed of the stream: numbers may depend on each other, and their mean may drift.

The arithmetic: for numbers of at least -b and a guess of each that was made before it, of at most g, and for
0 < rate < 1/c with c = b + g, exp(rate · Σ(number - mean) - cost(rate) · Σ(number - guess)²) is a nonnegative
supermartingale that begins at 1, where cost(rate) = (-log(1 - c·rate) - c·rate) / c² (Fan, Grama and Liu, 2015; theorem
4 of Howard et al.). So is a weighted mean of these over many rates, and by Ville's inequality it ever exceeds 1/level
with a chance of `level` at most. The rates form a grid of constant ratio, because the best one is not known. It takes
counts, sums and sums of squares only: a microbatch is taken in at once, with the guess of before it.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

GUESS_SHARE = 0.125  # of the bound, that a guess may be at most: differences of good forecasters are far smaller,
LARGEST_RATE = 0.95  # times 1/c: at 1/c itself the cost is infinite
RATES = 32  # each smaller than the one before by
RATIO = 2**-0.5  # so the smallest finds differences of a hundred-thousandth of the bound
PRECISE = 60  # halvings of an interval until a float has no digits left


class Interval(NamedTuple):
    """Bounds on a mean."""

    low: float
    high: float


class ConfidenceSequence:
    """Sums of numbers from -bound to bound, and what they say of their mean.

    Parameters
    ----------
    bound
        No number is beyond it.

    Attributes
    ----------
    count, total, variation
        How many numbers there were; their sum; and Σ(number - guess)², each guess made before its number.
    """

    def __init__(self, bound: float) -> None:
        self.count = 0
        self.total = self.variation = 0.0
        self._bound = bound
        self._most = GUESS_SHARE * bound
        scale = bound + self._most
        self._rates = LARGEST_RATE / scale * RATIO ** np.arange(RATES)
        self._costs = (-np.log1p(-scale * self._rates) - scale * self._rates) / scale**2
        weights = 1 / np.arange(1.0, RATES + 1)
        self._log_weights = np.log(weights / weights.sum())

    @property
    def mean(self) -> float:
        """The mean so far; 0 before any number."""
        return self.total / self.count if self.count else 0.0

    def take_in(self, count: int, total: float, squares: float) -> None:
        """Take in so many numbers, of this sum and sum of squares."""
        # As if there had been one 0 before: the first numbers say little.
        guess = min(max(self.total / (self.count + 1), -self._most), self._most)
        self.variation += max(float(squares) - 2 * guess * float(total) + count * guess * guess, 0.0)
        self.total += float(total)
        self.count += int(count)

    def evidence(self) -> float:
        """Return the logarithm of the evidence that the mean is above 0: above log(1/level) with a chance of `level`.

        That chance holds for all moments together, whatever they are, as long as the mean is not above 0.
        """
        return self._log_mixture(self.total)

    def interval(self, level: float) -> Interval:
        """Return bounds of which the chance that they are ever wrong, at any number of rows, is `level` at most."""
        if not self.count:
            return Interval(-self._bound, self._bound)
        reach = self._reach(level)
        low, high = (self.total - reach) / self.count, (self.total + reach) / self.count
        return Interval(max(low, -self._bound), min(high, self._bound))

    def is_above_zero(self, level: float) -> bool:
        """Return whether the lower bound of :meth:`interval` is above 0."""
        return self.evidence() > math.log(2 / level)

    def _reach(self, level: float) -> float:
        """Return how far the sum can be from that of the means: half of `level` for each side."""
        enough = math.log(2 / level)
        near, far = 0.0, 2 * self._bound * self.count
        if self._log_mixture(far) < enough:
            return far
        for _ in range(PRECISE):
            middle = (near + far) / 2
            near, far = (near, middle) if self._log_mixture(middle) >= enough else (middle, far)
        return far

    def _log_mixture(self, excess: float) -> float:
        """Return the logarithm of the mixture where the sum is above that of the means by `excess`."""
        exponents = self._log_weights + self._rates * excess - self._costs * self.variation
        largest = float(exponents.max())
        return largest + math.log(float(np.exp(exponents - largest).sum()))

    def to_json(self) -> dict[str, float]:
        """Return what :meth:`restore` needs."""
        return {"count": self.count, "total": self.total, "variation": self.variation}

    def restore(self, state: Mapping[str, float]) -> None:
        """Become what :meth:`to_json` was called of."""
        self.count = int(state["count"])
        self.total, self.variation = float(state["total"]), float(state["variation"])
