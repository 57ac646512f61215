"""One learner on its way along the log: its feed, its microbatches, and how far it has come.

A model usually has one lane. While a device is out of order there are two: the online learner's, which is served, and
that of the microbatch learner, which catches up from its own positions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from consumers.microbatch import MicroBatch, MicroBatcher
from consumers.source import Positions
from consumers.track import Track
from models.answered import UNANSWERED
from models.contesting import tell_time
from models.distillation import marks_of
from models.effort import FULL, Effort
from models.examples import Examples
from models.learner import Learner
from service.learning.count import Count
from service.learning.screen import Screen
from service.learning.teaching import Teacher
from service.reading.ingest import Ingest

TIMEOUT = "timeout"
"""Kind of the decision that it is so late (``time``, in milliseconds) though no event has come that says so."""


@dataclass(slots=True)
class Lane:
    """A learner and where it is.

    Attributes
    ----------
    learner
        None until the first labels have settled the task.
    ingest, batcher
        Where its microbatches come from.
    positions
        After the last microbatch that it learned.
    screen
        What joins labels, and keeps duplicates, and what one source has too much of, from the learner.
    count
        The events since the beginning of the stream that its parameters stand for, and that it passed.
    teacher
        Whom it learns from beside labels.
    """

    learner: Learner | None
    ingest: Ingest
    batcher: MicroBatcher[Examples]
    positions: Positions
    screen: Screen = field(default_factory=Screen)
    count: Count = field(default_factory=Count)
    teacher: Teacher | None = None

    @property
    def learned(self) -> int:
        """Events since the beginning of the stream that its parameters stand for."""
        return self.count.learned

    @property
    def consumed(self) -> int:
        """Events since the beginning of the stream that it passed."""
        return self.count.consumed

    def join(self, batch: MicroBatch[Examples]) -> MicroBatch[Examples]:
        """Return `batch` with the examples that are complete now that it has come, in the place of what came.

        Its track stays that of what came. What was joined is returned as it is: each microbatch is joined once, also
        where a device fails over it and another learner takes it.
        """
        given = batch.examples
        if self.screen.join is None or given is None or given.checksums is not None:
            return batch
        return replace(batch, examples=self.screen.join.take(given, batch.track))

    def ask(self, batch: MicroBatch[Examples]) -> MicroBatch[Examples]:
        """Return `batch` with what the teacher says of it now, if there is one; it never waits for one.

        It is to be written down with the update: asked again, a teacher may say something else.
        """
        if self.teacher is None or batch.examples is None or self.learner is None:
            return batch
        said = self.teacher.ask(batch.examples.features, self.learner.task, self.ingest.classes)
        return replace(batch, examples=replace(batch.examples, taught=said))

    def learn(self, batch: MicroBatch[Examples], effort: Effort = FULL, version: int = UNANSWERED) -> Examples:
        """Test and train on `batch`, which may hold no example, then move on; return the rows that were learned.

        It has been joined (:meth:`join`).

        These are all but duplicates, and events without a label of which no teacher said anything; those beyond their
        source's share have weight 0. `version` is the newest at this moment, where that is known: it tells how old
        answers are that were given before.

        Raises
        ------
        DeviceFailed
            Nothing of `batch` counts as learned, and the learner is lost.
        """
        given = batch.examples
        if given is None or not len(given):
            self.passed(batch)
            return Examples.empty()
        assert self.learner is not None, "examples come only after the task is settled"  # noqa: S101
        screened = self.screen.look(given)
        taken = screened.examples if screened.examples.taught is not None else screened.examples.known()
        if len(batch.track):
            tell_time(self.learner, float(batch.track.appended.max()) / 1000)
        report = self.learner.learn(_dated(taken, version), effort)
        self.screen.learned(given, screened)
        duplicates = int(screened.duplicates.sum())
        checksums = batch.track.checksums() if given.checksums is None else given.checksums
        learned = checksums[~screened.duplicates]
        if len(taken) < len(learned):
            learned = learned[marks_of(screened.examples)]
        passed = batch.unused + len(batch.track) - len(learned)
        count = self.count.plus(len(learned), int(learned.sum(dtype=np.uint64)), passed)
        count = count.screened(duplicates, screened.limited).drifted(report.drift)
        if taken.taught is not None:
            count = count.after_lesson(len(taken), 0)
        elif self.teacher is not None:
            count = count.after_lesson(0, len(screened.examples))
        self.count = count
        self.positions = batch.positions
        return taken

    def overdue(self, silence: float) -> int | None:
        """Return how late it is after so many seconds without an event, if something has waited too long by then.

        In milliseconds of the log's time; None also where not all that came was read.
        """
        join, ends = self.screen.join, self.ingest.ends
        if join is None or self.learner is None or self.ingest.waiting_for_source or self.batcher.rows_in_hand:
            return None
        read = {partition: position.offset for partition, position in self.positions.items()}
        caught_up = bool(ends) and all(read.get(partition, 0) >= end for partition, end in ends.items())
        return join.overdue(silence) if caught_up else None

    def time_out(self, milliseconds: int, version: int = UNANSWERED) -> Examples:
        """Learn what has waited too long for its label, now that it is so late though no event has come.

        Raises
        ------
        DeviceFailed
        """
        assert self.screen.join is not None, "it was overdue"  # noqa: S101
        due = self.screen.join.time_passes(milliseconds)
        return self.learn(MicroBatch(due, Track.empty(), self.positions, 0.0, TIMEOUT), version=version)

    def passed(self, batch: MicroBatch[Examples]) -> None:
        """Count `batch` as passed, of which nothing is to be learned: no row came, or all wait for another."""
        self.count = self.count.plus(0, 0, batch.unused + len(batch.track))
        self.positions = batch.positions

    def is_beyond(self, positions: Positions) -> bool:
        """Return whether this lane has passed all of `positions`."""
        return all(
            partition in self.positions and self.positions[partition] >= reached
            for partition, reached in positions.items()
        )

    def catch_up(self, target: Callable[[], Positions], stop: Callable[[], bool] = lambda: False) -> None:
        """Learn until all of `target`, which may move, is passed, or `stop` says that it is enough.

        Raises
        ------
        DeviceFailed
        """
        while not self.is_beyond(target()) and not stop():
            batch = self.batcher.next(0.1)
            if batch is not None:
                self.learn(self.ask(self.join(batch)))

    def close(self) -> None:
        """Stop reading."""
        self.ingest.close()


def _dated(examples: Examples, version: int) -> Examples:
    """Return the same, with the newest version beside what was answered."""
    if examples.answered is None:
        return examples
    return replace(examples, answered=replace(examples.answered, current=version))
