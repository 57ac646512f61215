"""How large the next microbatch is to be, and how much effort it is worth: :class:`Pace`, between load and learner.

An event's freshness is what it waits for others, for the update before its own and for its own. Small microbatches are
fresh and score best, for labels come late by a microbatch; large ones learn more events a second. So the size is the
least one at which the learner keeps up: with what an update costs (``adaptive_cost.py``) that follows from the rate at
which events come and from how many wait, without trying. Where no size at full effort keeps up, there is less effort
(``models/effort.py``), just as little less as is needed; and as soon as it would do again, step by step more.

What is decided here does not follow from state and log. It is written down with each update: the boundaries as its
runs, the effort as its level.
"""

import math
from dataclasses import dataclass

from models.effort import LEVELS, Effort
from service.learning.adaptive_cost import Costs, UpdateCost
from service.learning.adaptive_load import Load
from service.monitoring.status import PlanStatus

ROOM = 2.0  # times the least size that keeps up: rates waver, and a learner at its limit falls behind at once
SPARING = 0.2  # of a core that updates take beside what events cost, where events need not be gathered for longer
GATHERED = 8.0  # than one part in so many of the objective
FULL_SPEED = 0.8  # share of its rate that it is trusted to hold: nearer to 1 what waits for an update grows and grows,
WITH_ROOM = 0.6  # and up to which more effort is tried
DRAIN = 2.0  # seconds within which what waits is to be learned; else there is less effort
CALM = 1.0  # seconds that there must be room for more effort before there is more; each level is taken by itself
LONGEST_CALM = 32.0  # the same where more effort was too much soon after, each time twice as long
LOWER_AFTER = 0.25  # seconds after which less effort, that has been found wanting,
SMALLER_AFTER = 0.5  # and a smaller size, follow
RUNG = math.sqrt(2)  # sizes are powers of it, so that noise moves none
SLACK = 1.5  # times the size that is needed, up to which a size may stay
BACKLOG_PARTS = 64  # of what waits that a microbatch larger than usual is, at most one,
LEARNED_PARTS = 8  # and the same of what was learned: at the beginning each label tells much of the next ones
SHARES = (1.0, 0.9, 0.4, 0.15)  # of the cost of full effort, until a level was tried: a mixture's, measured


def most_events(usual: int, largest: int, waiting: float, learned: int, soon: float = 0.0) -> int:
    """Return how many events the next microbatch may have.

    Labels come late by a microbatch, which where labels tell of the next ones costs score. So it is no more than usual,
    unless it is a small part of a large backlog, or no more than what comes within a moment: what a replay of some ten
    thousand events scores does not change.

    Parameters
    ----------
    usual, largest
        Bounds for any stream, and for the fastest and the largest backlog.
    waiting, learned
        Events that wait, and that were learned so far.
    soon
        Events that come within half of the freshness objective, which is what an update may take.
    """
    bound = min(largest, max(waiting / BACKLOG_PARTS, soon), learned / LEARNED_PARTS)
    most = usual
    while 2 * most <= bound:
        most *= 2
    return most


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done next, and why.

    Attributes
    ----------
    size
        Events in a microbatch, at most.
    delay
        Seconds that its first event may wait for others.
    effort
        To learn it with.
    reason
        In words, for an operator.
    cost, capacity
        Of an update at this effort, and the events a second that it can learn in its largest microbatches.
    rate, waiting
        Events that come a second, and that wait.
    objective, feasible
        Seconds of freshness that are to be held, and whether they can be.
    """

    size: int
    delay: float
    effort: Effort
    reason: str
    cost: UpdateCost
    capacity: float
    rate: float
    waiting: float
    objective: float
    feasible: bool

    def status(self) -> PlanStatus:
        """Return it for an operator."""
        return PlanStatus(
            target_events=self.size,
            effort=self.effort.level,
            reason=self.reason,
            update_fixed_seconds=self.cost.fixed,
            update_event_seconds=self.cost.each,
            capacity=self.capacity,
            arrivals=self.rate,
            waiting=self.waiting,
            objective_seconds=self.objective,
            feasible=self.feasible,
        )


class Pace:
    """Chooses. Owned by the learning thread; all times are seconds of one monotonic clock.

    Parameters
    ----------
    objective
        Seconds from an event's arrival in the log until parameters that learned from it are served.
    most_delay
        Seconds that an event may wait for others in any case.
    levels
        Levels of effort that there are for the learner.
    """

    def __init__(self, objective: float, most_delay: float, levels: int = len(LEVELS)) -> None:
        self._objective, self._most_delay = objective, most_delay
        self._costs = Costs(SHARES[:levels])
        self.load = Load()
        self._level = 0
        self._size = 1.0
        self._wanting_since: float | None = None
        self._room_since: float | None = None
        self._smaller_since: float | None = None
        self._calm, self._raised_at, self._settled_at = CALM, -math.inf, -math.inf
        self._began = False

    def measured(self, events: int, seconds: float, effort: Effort) -> None:
        """Take in what an update cost."""
        self._costs.measured(effort.level, events, seconds)

    def plan(self, now: float, most: int) -> Plan:
        """Return what is to be done next.

        Parameters
        ----------
        now
            The time.
        most
            Events that a microbatch may have: by the configuration, and by what the device has room for.
        """
        self._choose_level(now, most)
        cost, largest = self._costs[self._level], self._largest(self._level, most)
        wanted = self._wanted(cost)
        self._choose_size(now, min(wanted, largest), most)
        size = max(1, min(round(self._size), most))
        feasible = self.load.rate <= FULL_SPEED * cost.rate(largest) and cost.seconds(1) <= self._objective / 2
        delay = max(0.0, min(self._most_delay, self._objective - 2 * cost.seconds(size)))
        reason = self._reason(wanted, largest, most, feasible=feasible)
        load = self.load
        bounds = size, delay, LEVELS[self._level], reason
        return Plan(*bounds, cost, cost.rate(largest), load.rate, load.waiting, self._objective, feasible)

    def _wanted(self, cost: UpdateCost) -> float:
        """Return the size that the load asks for, whatever the bounds; infinite where none keeps up."""
        rate, waiting = self.load.rate, self.load.waiting
        # Fresher than this would cost more processor time than it is worth.
        sparing = rate * min(cost.fixed / SPARING, self._objective / GATHERED)
        # What waits is to be gone within the objective, beside what comes meanwhile.
        return max(ROOM * cost.size_for(rate), cost.size_for(rate + waiting / self._objective), sparing)

    def _largest(self, level: int, most: int) -> float:
        """Return the size beyond which an update loses the objective or, where that is lost, nothing is won."""
        cost = self._costs[level]
        within = cost.size_within(self._objective / 2)
        can_hold = within >= 1 and self.load.rate <= FULL_SPEED * cost.rate(within)
        bound = within if can_hold else max(cost.saturation, within)
        return max(1.0, min(bound, most))

    def _keeps_up(self, level: int, most: int, share: float) -> bool:
        """Return whether a share of what a level can learn is enough for what comes and what waits."""
        needed = self.load.rate + self.load.waiting / DRAIN
        return needed <= share * self._costs[level].rate(self._largest(level, most))

    def _choose_level(self, now: float, most: int) -> None:
        """Take less effort where it is needed, and more, one level at a time, where there is room for long enough."""
        if self._keeps_up(self._level, most, FULL_SPEED):
            self._wanting_since = None
        elif self._level + 1 < len(self._costs):
            self._room_since = None
            if self._wanting_since is None and self._began:
                self._wanting_since = now
            # What waits at the very beginning is no burst that might be over in a moment.
            if not self._began or now - (self._wanting_since or now) >= LOWER_AFTER:
                self._lower(now, most)
            return
        self._began = True
        if not self._level or not self._keeps_up(self._level - 1, most, WITH_ROOM):
            self._room_since = None
        elif self._room_since is None:
            self._room_since = now
        elif now - self._room_since >= self._calm:
            self._level -= 1
            self._raised_at, self._room_since = now, None
        if not self._level and now - max(self._raised_at, self._settled_at) >= 4 * self._calm:
            self._calm, self._settled_at = max(CALM, self._calm / 2), now

    def _lower(self, now: float, most: int) -> None:
        """Take the least reduction of effort that keeps up, or the largest."""
        lower = range(self._level + 1, len(self._costs))
        self._level = next((level for level in lower if self._keeps_up(level, most, FULL_SPEED)), lower.stop - 1)
        self._wanting_since, self._began = None, True
        if now - self._raised_at < 4 * self._calm:  # it was too early
            self._calm = min(2 * self._calm, LONGEST_CALM)

    def _choose_size(self, now: float, wanted: float, most: int) -> None:
        """Take the size on the next rung above what is wanted; a smaller one only if it is wanted for some time."""
        self._size = min(self._size, most)
        rung = min(RUNG ** math.ceil(math.log(max(wanted, 1.0), RUNG) - 1e-9), most)
        if rung >= self._size:
            self._size, self._smaller_since = rung, None
        elif self._size <= SLACK * wanted:
            self._smaller_since = None
        elif self._smaller_since is None:
            self._smaller_since = now
        elif now - self._smaller_since >= SMALLER_AFTER:
            self._size, self._smaller_since = rung, None

    def _reason(self, wanted: float, largest: float, most: int, *, feasible: bool) -> str:
        """Say why."""
        coming = f"{self.load.rate:.0f} events/s come, {self.load.waiting:.0f} wait"
        effort = "full effort" if not self._level else f"effort {self._level}, for more would not keep up"
        if wanted <= largest:
            return f"{coming}: the least size that keeps up, at {effort}"
        bound = "its bounds or device memory" if largest >= most else "the objective" if feasible else "saturation"
        return f"{coming}: the largest size, bounded by {bound}, at {effort}"
