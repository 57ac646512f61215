"""A trainer without learning, log or clock: events come at a rate, updates take the time they are said to take."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from service.learning.adaptive import Pace, Plan
from service.learning.adaptive_cost import UpdateCost

LUMP = 0.005  # seconds between two polls: events come in lumps


@dataclass
class Update:
    """An update that was made: when it was published, what it was, and how fresh its oldest event was then."""

    at: float
    events: int
    plan: Plan
    freshness: float
    waiting: int


@dataclass
class Plant:
    """See the module.

    Attributes
    ----------
    costs
        True costs, by level of effort.
    rate
        Seconds → events that come a second.
    noise
        Share by which updates take longer or shorter.
    backlog
        Events that wait at the beginning.
    """

    costs: Sequence[UpdateCost]
    rate: Callable[[float], float]
    objective: float = 0.1
    most: int = 8192
    noise: float = 0.0
    backlog: int = 0
    seed: int = 0
    now: float = 0.0
    updates: list[Update] = field(default_factory=list)

    def run(self, seconds: float) -> list[Update]:
        """Return what was done in so many seconds."""
        pace = Pace(self.objective, 0.05, len(self.costs))
        random_ = random.Random(self.seed)
        waiting: deque[float] = deque([0.0] * self.backlog)
        arrived, told, last = 0.0, 0, 0.0
        while self.now < seconds:
            while last + LUMP <= self.now:
                last += LUMP
                arrived += self.rate(last) * LUMP
                waiting.extend([last] * (int(arrived) - told))
                told = int(arrived)
            pace.load.look(self.now, told, len(waiting))
            plan = pace.plan(self.now, self.most)
            due = waiting and self.now >= waiting[0] + plan.delay
            if len(waiting) < plan.size and not due:
                self.now = last + LUMP
                continue
            taken = [waiting.popleft() for _ in range(min(plan.size, len(waiting)))]
            took = self.costs[plan.effort.level].seconds(len(taken)) * (1 + self.noise * random_.uniform(-1, 1))
            self.now += took
            pace.measured(len(taken), took, plan.effort)
            self.updates.append(Update(self.now, len(taken), plan, self.now - taken[0], len(waiting)))
        return self.updates


def swings(values: Sequence[float], factor: float) -> int:
    """Return how often a sequence of positive numbers turns after it rose or fell by a factor."""
    low = high = values[0]
    way, found = 0, 0
    for value in values:
        low, high = min(low, value), max(high, value)
        if way <= 0 and value >= factor * low:
            found, way, low, high = found + (way < 0), 1, value, value
        elif way >= 0 and value <= high / factor:
            found, way, low, high = found + (way > 0), -1, value, value
    return found


def turns(values: Sequence[float]) -> int:
    """Return how often a sequence changes its direction."""
    steps = [after - before for before, after in pairwise(values) if after != before]
    return sum(before * after < 0 for before, after in pairwise(steps))
