"""From a checkpoint along the journal's steps: the same microbatches are learned once more, to the same parameters.

For whoever needs the parameters that there were: recovery at each start (``recovery.py``), and whoever checks that a
checkpoint is what journal and log make of the one before it (``remaking.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from consumers.microbatch import MicroBatch, MicroBatcher
from consumers.source import Positions
from consumers.track import Track
from models.contesting import restore
from models.effort import effort_of
from models.examples import Examples, Task
from models.learner import Learner, LearnerState
from service.checkpoints import Checkpoint, CheckpointStore
from service.durability.journal_format import Entry, Update
from service.errors import CheckpointInvalid, JournalInvalid
from service.learning.count import Count
from service.learning.lane import Lane
from service.learning.lessons import decode_lesson
from service.learning.screen import Screen
from service.learning.teaching import Teacher
from service.reading.ingest import Ingest, Start
from service.restart.contest_steps import forget_news, is_of_contest, take_again
from service.restart.history import is_rollback, is_timeout
from service.restart.noted import Noted
from service.restart.rebatching import Chained, Rebatcher
from service.restart.rollback import find_checkpoint, roll_back

_PATIENCE = 30.0
"""Seconds without news after which events that the journal knows of count as lost from the log."""

MakeLearner = Callable[[Task], Learner]
OpenIngest = Callable[[Start], Ingest]
MakeBatcher = Callable[[Chained[Examples], Positions], MicroBatcher[Examples]]


@dataclass(frozen=True, slots=True)
class Relearned:
    """A lane that was led along some steps.

    Attributes
    ----------
    lane
        Ready to go on.
    version
        The version that its parameters are: that of the last step that could be taken.
    problem
        Why no more steps could be taken; None where all were.
    """

    lane: Lane
    version: int
    problem: JournalInvalid | CheckpointInvalid | None = None


@dataclass(frozen=True, slots=True)
class Relearning:
    """Makes lanes of checkpoints, and leads them along the journal's steps.

    Attributes
    ----------
    store
        Has the checkpoints that were rolled back to.
    make_learner, open_ingest, make_batcher, make_screen
        Build the parts of a lane.
    teacher
        Whom lanes ask as they go on.
    """

    store: CheckpointStore
    make_learner: MakeLearner
    open_ingest: OpenIngest
    make_batcher: MakeBatcher
    make_screen: Callable[[], Screen] = Screen
    teacher: Teacher | None = None

    def begin(self, checkpoint: Checkpoint | None, noted: Noted) -> Lane:
        """Return a lane that is where the checkpoint is; a new one where there is none.

        Raises
        ------
        DeviceFailed
            The learner cannot be built on its device.
        """
        learner = None
        if noted.task is not None:
            learner = self.make_learner(noted.task)
            if checkpoint is not None:
                restore(learner, checkpoint.learner)
        positions = checkpoint.positions if checkpoint else noted.begin
        return self.open(learner, noted.start(positions), counted(checkpoint), self.screen(checkpoint))

    def screen(self, checkpoint: Checkpoint | None) -> Screen:
        """Return what keeps duplicates and the like from a learner, as the checkpoint has it."""
        screen = self.make_screen()
        if checkpoint is not None:
            screen.restore(checkpoint.others)
        return screen

    def open(self, learner: Learner | None, start: Start, count: Count, screen: Screen) -> Lane:
        """Return a lane that reads from `start` on."""
        ingest = self.open_ingest(start)
        batcher = self.make_batcher(Chained((), ingest), start.positions)
        return Lane(learner, ingest, batcher, start.positions, screen, count, self.teacher)

    def follow(
        self,
        lane: Lane,
        steps: Sequence[Entry],
        version: int,
        noted: Noted,
        learned: Callable[[Lane, Examples], None] = lambda _lane, _examples: None,
    ) -> Relearned:
        """Take the steps again, as far as that is possible.

        Parameters
        ----------
        lane
            As :meth:`begin` gave it; the one that is returned may be another one.
        steps
            See :class:`service.restart.history.History`.
        version
            The one that the lane begins at.
        noted
            What is known of the stream.
        learned
            Called after each update with the lane and the rows that it learned.

        Raises
        ------
        DeviceFailed
            The learner cannot be taught on its device.
        ConsumerError
            The log cannot be read.
        """
        if not steps:
            return Relearned(lane, version)
        rebatcher = Rebatcher(lane.ingest, patience=_PATIENCE)
        wanted = {step.data["restored_from"] for step in steps if is_rollback(step)}
        states: dict[int, LearnerState] = {}
        for step in steps:
            if lane.learner is not None and version in wanted and version not in states:
                states[version] = lane.learner.state()
            try:
                if isinstance(step, Update):
                    rows = self._learn(lane, rebatcher, step)
                    if rows is not None:
                        learned(lane, rows)
                elif is_rollback(step):
                    self._roll_back(lane, step.data["restored_from"], states)
                elif is_timeout(step):
                    rows = lane.time_out(step.data["time"], step.version - 1)
                    if len(rows):
                        learned(lane, rows)
                elif lane.learner is not None and is_of_contest(step):
                    take_again(lane.learner, step)
                # Else it only gave the parameters another number.
            except (JournalInvalid, CheckpointInvalid) as error:
                lane.close()
                lane = self.open(lane.learner, noted.start(lane.positions), lane.count, lane.screen)
                return Relearned(lane, version, error)
            version = step.version
        lane.batcher = self.make_batcher(Chained(rebatcher.rest(), lane.ingest), lane.positions)
        return Relearned(lane, version)

    def _learn(self, lane: Lane, rebatcher: Rebatcher[Examples], update: Update) -> Examples | None:
        """Learn a journaled update again; return what of it was learned, None where all of it only waits."""
        examples, track = rebatcher.take(update.runs, update.positions)
        _check_same(track, update)
        batch = lane.join(MicroBatch(examples, track, update.positions, 0.0, "journal"))
        if batch.examples is not None:
            # Nobody is asked: what a teacher said then is what was learned.
            examples = replace(batch.examples, taught=decode_lesson(update.lesson, len(batch.examples)))
            batch = replace(batch, examples=examples)
        learned = lane.learn(batch, effort_of(update.effort), update.version - 1)
        if lane.learner is not None:
            forget_news(lane.learner)
        return learned if batch.examples is not None and len(batch.examples) else None

    def _roll_back(self, lane: Lane, version: int, states: Mapping[int, LearnerState]) -> None:
        """Go back to the learner of a version: the one that was passed on the way here, or a checkpoint's."""
        state = states[version] if version in states else find_checkpoint(self.store, version).learner
        roll_back(lane, state, self.make_learner)


def counted(checkpoint: Checkpoint | None) -> Count:
    """Return the count that a checkpoint holds."""
    return Count.from_json(checkpoint.service["lane"]) if checkpoint else Count()


def _check_same(track: Track, update: Update) -> None:
    """Refuse rows that are not the ones that the journal knows of."""
    if update.checksum is not None and track.checksum() != update.checksum:
        raise JournalInvalid(
            f"the log hands out other events than it did for version {update.version}: their checksum differs. Were "
            "the settings under `events:` changed?"
        )
