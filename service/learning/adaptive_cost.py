"""What an update costs: seconds = fixed + per event · events, fitted to the updates as they come.

Two numbers per level of effort are all that the choice of sizes (``adaptive.py``) knows of learner, network and
machine. They follow what changes, a busy neighbour or a stream that has grown wider, within some dozens of updates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

KEPT = 0.97  # of what is known, at each update: about 33 of them count
PRIOR = 0.3  # updates that the guess before the first one counts as
FARTHEST = 3.0  # times what was expected: more is no cost of the update but a pause of the machine, unless
FORGIVEN = 4  # updates after it there is another one like that
TRUSTED = 5  # updates after which there is something to expect; the first ones are slower than those to come
FOLLOWED = 0.05  # of the way that the guess goes to what was found: of one size alone it is the division into the two
SATURATED = 19.0  # times fixed / per event: at that size 19 of 20 parts of an update are work on events


@dataclass(frozen=True, slots=True)
class UpdateCost:
    """A cost of updates.

    Attributes
    ----------
    fixed
        Seconds of each, however few its events.
    each
        Seconds of each event.
    """

    fixed: float = 2e-3
    each: float = 1e-5

    def seconds(self, events: float) -> float:
        """Return how long an update of so many events takes."""
        return self.fixed + self.each * events

    def rate(self, events: float) -> float:
        """Return how many events a second can be learned, so many at once."""
        return events / self.seconds(events)

    def size_for(self, rate: float) -> float:
        """Return how many events at once it takes to learn so many a second; infinite where no number does."""
        left = 1.0 - rate * self.each
        return rate * self.fixed / left if left > 0 else np.inf

    def size_within(self, seconds: float) -> float:
        """Return how many events an update of so many seconds has; may be negative."""
        return (seconds - self.fixed) / self.each

    @property
    def saturation(self) -> float:
        """Return the size beyond which hardly more events a second are learned."""
        return SATURATED * self.fixed / self.each

    def times(self, factor: float) -> "UpdateCost":
        """Return a cost that is as many times as high."""
        return UpdateCost(self.fixed * factor, self.each * factor)


@dataclass(slots=True)
class FittedCost:
    """A cost fitted to what was measured.

    Least squares of relative errors, older updates counting less; what updates of one size leave open, how it is
    divided into the two, is as it was guessed before.

    Attributes
    ----------
    guess
        What it is before the first update; it follows slowly what is found.
    updates
        That were measured.
    """

    guess: UpdateCost
    updates: int = 0
    cost: UpdateCost = field(init=False)
    _paused: int = -FORGIVEN
    _weight: float = 0.0
    _squares: np.ndarray[tuple[int, int], np.dtype[np.float64]] = field(init=False)
    _products: np.ndarray[tuple[int], np.dtype[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the guess."""
        self.cost = self.guess
        self._squares, self._products = np.zeros((2, 2)), np.zeros(2)

    def measured(self, events: int, seconds: float) -> None:
        """Take in an update."""
        self.updates += 1
        if self.updates > TRUSTED and seconds > FARTHEST * self.cost.seconds(events):
            paused, self._paused = self._paused, self.updates
            if self.updates - paused > FORGIVEN:
                return
        row = np.array([1.0, events]) / seconds
        self._squares = KEPT * self._squares + np.outer(row, row)
        self._products = KEPT * self._products + row
        self._weight = KEPT * self._weight + 1.0
        self.cost = self._solved()
        self.guess = UpdateCost(
            self.guess.fixed + FOLLOWED * (self.cost.fixed - self.guess.fixed),
            self.guess.each + FOLLOWED * (self.cost.each - self.guess.each),
        )

    def _solved(self) -> UpdateCost:
        """Return the best cost that is not negative in either part."""
        guess = np.array([self.guess.fixed, self.guess.each])
        # As sure as an update of the mean size: were it sure in proportion to itself, 1 / guess², a guess a hundred
        # times too low would outweigh all updates.
        sureness = PRIOR * np.diag(self._squares) / self._weight
        squares = self._squares + np.diag(sureness)
        products = self._products + sureness * guess
        fixed, each = np.linalg.solve(squares, products)
        least = guess * 1e-3  # a cost of nothing would make any size right
        if fixed < least[0]:
            fixed, each = least[0], (products[1] - squares[1, 0] * least[0]) / squares[1, 1]
        elif each < least[1]:
            fixed, each = (products[0] - squares[0, 1] * least[1]) / squares[0, 0], least[1]
        return UpdateCost(float(max(fixed, least[0])), float(max(each, least[1])))


class Costs:
    """Costs at all levels of effort: those that were never tried, from the nearest one that was.

    Parameters
    ----------
    shares
        For each level what part of the cost of full effort it is taken to cost until it is tried.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self._shares = shares
        self._fitted = [FittedCost(UpdateCost().times(share)) for share in shares]

    def __len__(self) -> int:
        return len(self._shares)

    def __getitem__(self, level: int) -> UpdateCost:
        """Return the cost at a level."""
        tried = [other for other, fitted in enumerate(self._fitted) if fitted.updates]
        if not tried or level in tried:
            return self._fitted[level].cost
        nearest = min(tried, key=lambda other: (abs(other - level), other))
        return self._fitted[nearest].cost.times(self._shares[level] / self._shares[nearest])

    def measured(self, level: int, events: int, seconds: float) -> None:
        """Take in an update at a level."""
        fitted = self._fitted[level]
        if not fitted.updates:
            self._fitted[level] = fitted = FittedCost(self[level])
        fitted.measured(events, seconds)
