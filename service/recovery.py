"""From the newest checkpoint and the journal to the very parameters that were there before: what every start does.

The checkpoint is the truth, the journal carries it forward: its microbatches are cut from the log again with the same
boundaries and learned again, so that each event is in the parameters exactly once and a version number never stands for
two different sets of parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import structlog

from consumers.microbatch import MicroBatch, MicroBatcher
from consumers.source import Positions
from consumers.track import Track
from models.errors import DeviceFailed
from models.examples import Examples, Task
from models.learner import Learner, LearnerState, Predictor
from service.canary import is_trusted
from service.checkpoints import Checkpoint, CheckpointStore
from service.count import Count
from service.errors import CheckpointInvalid, JournalInvalid
from service.history import History, history
from service.ingest import Ingest, Start
from service.journal_format import Decision, Entry, Update
from service.journal_reading import JournalTail, read_journal
from service.lane import Lane
from service.noted import Noted
from service.rebatching import Chained, Rebatcher
from service.rollback import DECISION as ROLLBACK
from service.rollback import find_checkpoint, roll_back
from service.screen import Screen
from service.totals import Totals

_log = structlog.get_logger("headrace.recovery")

_PATIENCE = 30.0
"""Seconds without news after which events that the journal knows of count as lost from the log."""

MakeLearner = Callable[[Task], Learner]
OpenIngest = Callable[[Start], Ingest]
MakeBatcher = Callable[[Chained[Examples], Positions], MicroBatcher[Examples]]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A model as it was.

    Attributes
    ----------
    noted
        What is known of the stream beside the learner.
    lane
        The learner where the journal left it, and its feed.
    version
        The highest that was ever given; the next update's is above it.
    lane_version
        The version that the lane's parameters are; below `version` where updates could not be learned again as they
        were (another learner had taken over, or the log changed).
    totals
        Counters, journaled updates included.
    tail
        The journal as it was read, for the one that goes on.
    device_error
        What keeps the device from being used; the lane then has no learner, but stands where the journal ended.
    restored_from
        The version whose learner the lane's is, where nothing was learned since a rollback.
    reference
        Answers from the checkpoint's parameters: what the canary compares with.
    """

    noted: Noted
    lane: Lane
    version: int
    lane_version: int
    totals: Totals
    tail: JournalTail
    device_error: DeviceFailed | None = None
    restored_from: int | None = None
    reference: Predictor | None = None


@dataclass(slots=True)
class Recovery:
    """Recovers one model; may be run again, in another thread too, to rebuild a lost learner.

    Attributes
    ----------
    store, journal
        Where the checkpoints and the journal files are.
    configured_task
        None for auto.
    make_learner, open_ingest, make_batcher, make_screen
        Build the parts of a lane.
    recipe
        Digest of the settings that shape an update.
    """

    store: CheckpointStore
    journal: Path
    configured_task: Task | None
    make_learner: MakeLearner
    open_ingest: OpenIngest
    make_batcher: MakeBatcher
    make_screen: Callable[[], Screen] = Screen
    recipe: str = ""

    def run(self) -> Recovered:
        """Return the model as the checkpoint and the journal have it.

        Raises
        ------
        DeviceFailed
            The learner cannot be built or taught on its device.
        ConsumerError
            The log cannot be read from the checkpoint's positions.
        """
        checkpoint, tail, noted, totals = self._begin()
        learner = self._learner(checkpoint, noted.task)
        positions = checkpoint.positions if checkpoint else {}
        screen = self._screen(checkpoint)
        lane = self._open(learner, noted.start(positions), _counted(checkpoint), screen)
        past = self._past(tail, noted, learner)
        try:
            reference = learner.predictor() if learner is not None and is_trusted(checkpoint) else None
            lane, lane_version = self._learn_again(lane, past.steps, max(tail.follows, 0), totals, noted)
        except Exception:
            lane.close()
            raise
        totals.screened(lane.count.duplicates, lane.count.limited)
        totals.rollbacks += sum(map(_is_rollback, past.steps))
        _count_others(totals, past.others, lane.count)
        updates = sum(isinstance(step, Update) for step in past.steps)
        version = max(tail.resume_version, lane_version)
        _log.info("recovered", version=version, learned_again=updates, events=lane.learned, checkpoint=tail.follows)
        return Recovered(
            noted, lane, version, lane_version, totals, tail, None, _restored_from(checkpoint, past.steps), reference
        )

    def run_without_device(self, error: DeviceFailed) -> Recovered:
        """Return the model at the place where the journal ends, but without a learner."""
        checkpoint, tail, noted, totals = self._begin()
        count = _count_others(totals, tail.entries, _counted(checkpoint))
        updates = [entry for entry in tail.entries if isinstance(entry, Update)]
        positions = updates[-1].positions if updates else checkpoint.positions if checkpoint else {}
        count = replace(count, consumed=totals.events_consumed)
        lane = self._open(None, noted.start(positions), count, self._screen(checkpoint))
        return Recovered(noted, lane, tail.resume_version, tail.resume_version, totals, tail, error)

    def _begin(self) -> tuple[Checkpoint | None, JournalTail, Noted, Totals]:
        """Read what there is."""
        checkpoint = self.store.load()
        tail = read_journal(self.journal, after_version=checkpoint.version if checkpoint else -1)
        for problem in tail.problems:
            _log.warning("the journal is not whole; numbering skips ahead", problem=problem)
        totals = Totals.from_json(dict(checkpoint.service["totals"])) if checkpoint else Totals()
        return checkpoint, tail, Noted.of(checkpoint, tail.entries, self.configured_task), totals

    def _learner(self, checkpoint: Checkpoint | None, task: Task | None) -> Learner | None:
        if task is None:
            return None
        learner = self.make_learner(task)
        if checkpoint is not None:
            learner.restore(checkpoint.learner)
        return learner

    def _past(self, tail: JournalTail, noted: Noted, learner: Learner | None) -> History:
        """Return which of the journal's entries lead on from the checkpoint."""
        if learner is None:
            return History([], tail.entries)
        if tail.entries and noted.recipe not in ("", self.recipe):
            # The same events would give other parameters under the same numbers.
            _log.warning("the settings were changed: what came after the last checkpoint is learned anew, as they are")
            return History([], tail.entries, "the settings were changed")
        return history(tail.follows, tail.entries, learner.name)

    def _screen(self, checkpoint: Checkpoint | None) -> Screen:
        """Return what keeps duplicates and the like from a learner, as the checkpoint has it."""
        screen = self.make_screen()
        if checkpoint is not None:
            screen.restore(checkpoint.others)
        return screen

    def _open(self, learner: Learner | None, start: Start, count: Count, screen: Screen) -> Lane:
        """Return a lane that reads from `start` on."""
        ingest = self.open_ingest(start)
        batcher = self.make_batcher(Chained(None, ingest), start.positions)
        return Lane(learner, ingest, batcher, start.positions, screen, count)

    def _learn_again(
        self, lane: Lane, entries: Sequence[Entry], version: int, totals: Totals, noted: Noted
    ) -> tuple[Lane, int]:
        """Do again what the journal holds; return the lane, ready to go on, and its version."""
        if not entries or lane.learner is None:
            return lane, version
        rebatcher = Rebatcher(lane.ingest, patience=_PATIENCE)
        wanted = {entry.data["restored_from"] for entry in entries if _is_rollback(entry)}
        states: dict[int, LearnerState] = {}
        for entry in entries:
            if version in wanted and version not in states:
                states[version] = lane.learner.state()
            try:
                if isinstance(entry, Decision):
                    # Where only the number is another one, the parameters are there already.
                    if entry.kind == ROLLBACK:
                        self._roll_back(lane, entry.data["restored_from"], states)
                else:
                    learned = self._learn(lane, rebatcher, entry)
                    totals.updated(lane.learner.name, len(learned))
                    totals.reached(lane.learner.name, lane.learned, lane.consumed)
            except (JournalInvalid, CheckpointInvalid) as error:
                _log.error("the journal cannot be followed any further; numbering skips ahead", error=str(error))
                lane.close()
                return self._open(lane.learner, noted.start(lane.positions), lane.count, lane.screen), version
            version = entry.version
        lane.batcher = self.make_batcher(Chained(rebatcher.rest(), lane.ingest), lane.positions)
        return lane, version

    def _learn(self, lane: Lane, rebatcher: Rebatcher[Examples], update: Update) -> Examples:
        """Learn a journaled update again; return what of it was learned."""
        examples, track = rebatcher.take(update.runs, update.positions)
        _check_same(track, update)
        return lane.learn(MicroBatch(examples, track, update.positions, 0.0, "journal"))

    def _roll_back(self, lane: Lane, version: int, states: Mapping[int, LearnerState]) -> None:
        """Go back to the learner of a version: the one that was passed on the way here, or a checkpoint's."""
        state = states[version] if version in states else find_checkpoint(self.store, version).learner
        roll_back(lane, state, self.make_learner)


def _restored_from(checkpoint: Checkpoint | None, again: Sequence[Entry]) -> int | None:
    """Return the version that the newest one repeats, if it does."""
    if again:
        last = again[-1]
        return last.data["restored_from"] if isinstance(last, Decision) else None
    return checkpoint.service.get("restored_from") if checkpoint else None


def _counted(checkpoint: Checkpoint | None) -> Count:
    return Count.from_json(checkpoint.service["lane"]) if checkpoint else Count()


def _check_same(track: Track, update: Update) -> None:
    """Refuse rows that are not the ones that the journal knows of."""
    if update.checksum is not None and track.checksum() != update.checksum:
        raise JournalInvalid(
            f"the log hands out other events than it did for version {update.version}: their checksum differs. Were "
            "the settings under `events:` changed?"
        )


def _is_rollback(entry: Entry) -> TypeGuard[Decision]:
    return isinstance(entry, Decision) and entry.kind == ROLLBACK


def _count_others(totals: Totals, others: Sequence[Entry], count: Count) -> Count:
    """Count the updates that were served but are not learned again: their events keep the learner they counted for.

    Returns what the last of them stood for.
    """
    for entry in others:
        if isinstance(entry, Decision):
            # The lanes change here, and the one that goes on may stand at another place than the one before.
            if "learned" in entry.data:
                count = Count.from_json(entry.data)
            totals.rollbacks += entry.kind == ROLLBACK
        else:
            rows = sum(run.rows for run in entry.runs)
            count = count.plus(rows, entry.checksum or 0)
            totals.updated(entry.learner, rows)
            totals.reached(entry.learner, count.learned, count.consumed)
    return count
