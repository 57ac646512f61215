"""What adaptive microbatches (``adaptive.py``) have to do with a trainer: it is told of load and costs, and followed.

Stands in the trainer's loop around the learner: before each microbatch is cut its bounds are set, and after it is
learned what it cost is taken in.
"""

import time
from collections.abc import Mapping

from consumers.microbatch import MicroBatch
from models.effort import FULL, LEVELS, Effort
from models.examples import Examples
from service.learning.adaptive import Pace, most_events
from service.learning.lane import Lane
from service.learning.model import Model
from service.learning.training import Training

MICROBATCH = "microbatch"  # the learner for which levels of effort mean something


class Adapting:
    """Sets bounds and effort of microbatches where the configuration says so. Owned by the learning thread.

    Parameters
    ----------
    model
        Has the settings, and the bound that the device's memory sets.
    training
        Where the trainer is; its `plan` is set here.
    """

    def __init__(self, model: Model, training: Training) -> None:
        self._model, self._training = model, training
        self._bounds = model.settings.microbatch
        self._lane: Lane | None = None
        self._learner = ""
        self._pace = self._begun()
        self._ends: dict[int, int] = {}
        self._arrived = self._offsets = self._began = self._events = 0.0

    def _begun(self) -> Pace:
        """Return a pace for a learner of which nothing is known yet."""
        levels = len(LEVELS) if self._learner in ("", MICROBATCH) else 1
        return Pace(self._bounds.objective.freshness_ms / 1000, self._bounds.max_delay_ms / 1000, levels)

    @property
    def effort(self) -> Effort:
        """How much work the next microbatch may be."""
        return FULL if self._training.plan is None else self._training.plan.effort

    def prepare(self) -> None:
        """Set the bounds of the next microbatch."""
        if not self._bounds.adaptive:
            return
        training, lane = self._training, self._training.lane
        name = "" if lane.learner is None else lane.learner.name
        if name != self._learner:
            # Another learner, because a device has failed or is back, costs something else.
            self._learner, self._pace = name, self._begun()
        now, waiting = time.monotonic(), self._waiting(lane)
        self._pace.load.look(now, self._arrived, waiting)
        soon = self._pace.load.rate * self._bounds.objective.freshness_ms / 2000
        most = most_events(self._model.max_size, self._model.largest_size, waiting, lane.learned, soon)
        training.plan = self._pace.plan(now, most)
        lane.batcher.max_size, lane.batcher.max_delay = training.plan.size, training.plan.delay

    def learned(self, batch: MicroBatch[Examples], effort: Effort, seconds: float) -> None:
        """Take in what an update cost."""
        if self._bounds.adaptive:
            self._pace.measured(len(batch.track), seconds, effort)
            self._events += len(batch.track)

    def passed(self, batch: MicroBatch[Examples]) -> None:
        """Take in that events came which cost next to nothing yet: they wait for their labels."""
        self._events += len(batch.track)

    def _waiting(self, lane: Lane) -> float:
        """Return the events that wait, and count those that have come.

        The log knows records, each of which may be many events: as many as so far.
        """
        ends, positions = lane.ingest.ends, {at: place.offset for at, place in lane.positions.items()}
        reached = float(sum(positions.values()))
        if lane is not self._lane or reached < self._offsets:
            self._lane, self._began, self._events = lane, reached, 0.0
        self._offsets = reached
        passed = reached - self._began
        each = max(1.0, self._events / passed) if passed > 0 else 1.0
        self._arrived += each * self._grown(ends)
        behind = sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())
        return max(each * behind, lane.batcher.rows_in_hand)

    def _grown(self, ends: Mapping[int, int]) -> float:
        """Return the records that have come to the log; what was there when a partition was first heard of is none."""
        grown = sum(max(0, end - self._ends.get(partition, end)) for partition, end in ends.items())
        self._ends = dict(ends)
        return float(grown)
