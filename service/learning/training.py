"""Where a trainer is: what its loop, its fallback and its housekeeping share. Owned by the learning thread."""

from dataclasses import dataclass, field, replace

from models.learner import Learner
from service.journal import Journal
from service.learning.adaptive import Plan
from service.learning.lane import Lane
from service.learning.totals import Totals
from service.learning.versions import Versions
from service.operating.operated import Operated
from service.restart.noted import Noted


@dataclass(slots=True)
class Training:
    """The state of one trainer.

    Attributes
    ----------
    lane
        The learner that is served, and where it is in the log.
    totals, journal, versions
        The model's counters, what it writes down before it publishes, and its numbering.
    noted
        What is known of the stream, and is written down.
    recipe
        Digest of the settings that shape an update.
    standing_in
        Whether the online learner is served because the device is out of order.
    plan
        What the next microbatch is to be; None where sizes are not adapted.
    operated
        What commands have made of the model.
    """

    lane: Lane
    totals: Totals
    journal: Journal
    versions: Versions
    noted: Noted
    recipe: str
    standing_in: bool = False
    plan: Plan | None = None
    operated: Operated = field(default_factory=Operated)

    @property
    def learner(self) -> Learner:
        """The learner that is served; there must be one."""
        assert self.lane.learner is not None, "nobody asks before the task is settled"  # noqa: S101
        return self.lane.learner

    @property
    def progress(self) -> tuple[int, int]:
        """Version and events passed: what changes when anything worth keeping has happened."""
        return self.versions.current, self.lane.consumed

    def note(self) -> None:
        """Write down what reading has brought to light, before anything is learned that relies on it."""
        for kind, data in self.noted.news(self.lane.ingest, self.recipe):
            self.versions.note(kind, data)
            self.noted = self.noted.after(kind, data)

    def switch(self, lane: Lane, *, standing_in: bool) -> None:
        """Serve another lane from now on: a device has failed, or is back."""
        if lane.ingest is not self.lane.ingest:
            # The two may have met classes in another order, and so have taken in the other of two that look alike.
            self.noted = replace(self.noted, classes=())
        self.lane = lane
        self.standing_in = standing_in
        self.note()
        self.count()

    def count(self) -> None:
        """Count what the served lane has learned and passed."""
        name = "microbatch" if self.lane.learner is None else self.lane.learner.name
        self.totals.reached(name, self.lane.learned, self.lane.consumed)
        self.totals.follow(self.lane.count)
