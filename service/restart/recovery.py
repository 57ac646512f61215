"""From the newest checkpoint and the journal to the very parameters that were there before: what every start does.

The checkpoint is the truth, the journal carries it forward: its microbatches are cut from the log again with the same
boundaries and learned again, so that each event is in the parameters exactly once and a version number never stands for
two different sets of parameters.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from models.errors import DeviceFailed
from models.examples import Examples, Task
from models.learner import Learner, Predictor
from service.checkpoints import Checkpoint, CheckpointStore
from service.durability.journal_format import NOBODY, Decision, Entry, Update
from service.durability.journal_reading import JournalTail, read_journal
from service.errors import ConfigurationInvalid
from service.learning.count import Count
from service.learning.lane import Lane
from service.learning.totals import Totals
from service.operating.operated import Operated, is_obeyed
from service.repair.canary import is_trusted
from service.restart.history import History, history, is_rollback
from service.restart.noted import Noted
from service.restart.relearning import Relearning, counted

_log = structlog.get_logger("headrace.recovery")


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
    relearned_seconds
        How long it took to learn again what came after the checkpoint.
    operated
        What commands have made of the model.
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
    relearned_seconds: float = 0.0
    operated: Operated = field(default_factory=Operated)


@dataclass(slots=True)
class Recovery:
    """Recovers one model; may be run again, in another thread too, to rebuild a lost learner.

    Attributes
    ----------
    store, journal
        Where the checkpoints and the journal files are.
    configured_task
        None for auto.
    relearning
        Builds lanes, and has them learn again.
    recipe
        Digest of the settings that shape an update.
    """

    store: CheckpointStore
    journal: Path
    configured_task: Task | None
    relearning: Relearning
    recipe: str

    def run(self) -> Recovered:
        """Return the model as the checkpoint and the journal have it.

        Raises
        ------
        DeviceFailed
            The learner cannot be built or taught on its device.
        ConsumerError
            The log cannot be read from the checkpoint's positions.
        ConfigurationInvalid
            Another task is configured than the one that was learned.
        """
        checkpoint, tail, noted, totals = self._begin()
        lane = self.relearning.begin(checkpoint, noted)
        past = self._past(tail, noted, lane.learner)
        try:
            reference = self._reference(lane.learner, checkpoint, past.steps)
            began = time.perf_counter()
            again = self.relearning.follow(lane, past.steps, max(tail.follows, 0), noted, _tally(totals))
        except Exception:  # whatever it is: the lane's reading program must not outlive it
            lane.close()
            raise
        if again.problem is not None:
            _log.error("the journal cannot be followed any further; numbering skips ahead", error=str(again.problem))
        lane = again.lane
        relearned_seconds = time.perf_counter() - began if past.steps else 0.0
        totals.follow(lane.count)
        totals.rollbacks += sum(map(is_rollback, past.steps))
        _count_others(totals, past.others, lane.count)
        updates = sum(isinstance(step, Update) for step in past.steps)
        version = max(tail.resume_version, again.version)
        _log.info("recovered", version=version, learned_again=updates, events=lane.learned, checkpoint=tail.follows)
        restored_from = _restored_from(checkpoint, past.steps)
        operated = Operated.of(checkpoint, tail.entries)
        found = (noted, lane, version, again.version, totals, tail, None, restored_from, reference, relearned_seconds)
        return Recovered(*found, operated)

    def run_without_device(self, error: DeviceFailed) -> Recovered:
        """Return the model at the place where the journal ends, but without a learner."""
        checkpoint, tail, noted, totals = self._begin()
        count = _count_others(totals, tail.entries, counted(checkpoint))
        updates = [entry for entry in tail.entries if isinstance(entry, Update)]
        positions = updates[-1].positions if updates else checkpoint.positions if checkpoint else noted.begin
        count = replace(count, consumed=totals.events_consumed)
        lane = self.relearning.open(None, noted.start(positions), count, self.relearning.screen(checkpoint))
        operated = Operated.of(checkpoint, tail.entries)
        version = tail.resume_version
        return Recovered(noted, lane, version, version, totals, tail, error, operated=operated)

    def _reference(
        self, learner: Learner | None, checkpoint: Checkpoint | None, steps: Sequence[Entry]
    ) -> Predictor | None:
        """Return the answers of the checkpoint's learner; None where it is bad, or somebody went back from it."""
        if (
            learner is None
            or not is_trusted(checkpoint)
            or any(is_rollback(step) and is_obeyed(step) for step in steps)
        ):
            return None
        return learner.predictor()

    def _begin(self) -> tuple[Checkpoint | None, JournalTail, Noted, Totals]:
        """Read what there is."""
        checkpoint = self.store.load()
        tail = read_journal(self.journal, after_version=checkpoint.version if checkpoint else -1)
        for problem in tail.problems:
            _log.warning("the journal is not whole; numbering skips ahead", problem=problem)
        totals = Totals.from_json(dict(checkpoint.service["totals"])) if checkpoint else Totals()
        noted = Noted.of(checkpoint, tail.entries, self.configured_task)
        if noted.task is not None and self.configured_task not in (None, noted.task):
            raise ConfigurationInvalid(
                f"task: {self.configured_task} is configured, but what was learned is {noted.task}: set it to "
                f"{noted.task} or auto, or have the model begin anew with `headrace train --from earliest`"
            )
        return checkpoint, tail, noted, totals

    def _past(self, tail: JournalTail, noted: Noted, learner: Learner | None) -> History:
        """Return which of the journal's entries lead on from the checkpoint."""
        if tail.entries and noted.recipe not in ("", self.recipe):
            # The same events would give other parameters under the same numbers.
            _log.warning("the settings were changed: what came after the last checkpoint is learned anew, as they are")
            return History([], tail.entries, "the settings were changed")
        # Before the task is settled there may be observations, which wait without a learner.
        return history(tail.follows, tail.entries, NOBODY if learner is None else learner.name)


def _restored_from(checkpoint: Checkpoint | None, again: Sequence[Entry]) -> int | None:
    """Return the version that the newest one repeats, if it does."""
    if again:
        last = again[-1]
        return last.data.get("restored_from") if isinstance(last, Decision) else None
    return checkpoint.service.get("restored_from") if checkpoint else None


def _tally(totals: Totals) -> Callable[[Lane, Examples], None]:
    """Return what counts the updates that are learned again: they were served."""

    def tally(lane: Lane, learned: Examples) -> None:
        assert lane.learner is not None, "it has just learned"  # noqa: S101
        totals.updated(lane.learner.name, len(learned))
        totals.reached(lane.learner.name, lane.learned, lane.consumed)

    return tally


def _count_others(totals: Totals, others: Sequence[Entry], count: Count) -> Count:
    """Count the updates that were served but are not learned again: their events keep the learner they counted for.

    Returns what the last of them stood for.
    """
    for entry in others:
        if isinstance(entry, Decision):
            # The lanes change here, and the one that goes on may stand at another place than the one before.
            if "learned" in entry.data:
                count = Count.from_json(entry.data)
            totals.rollbacks += is_rollback(entry)
        else:
            rows = sum(run.rows for run in entry.runs)
            if entry.learner == NOBODY:
                count = count.plus(0, 0, rows)
                continue
            count = count.plus(rows, entry.checksum or 0)
            totals.updated(entry.learner, rows)
            totals.reached(entry.learner, count.learned, count.consumed)
    return count
