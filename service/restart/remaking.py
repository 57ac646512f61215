"""Makes a checkpoint again out of the one before it, journal and log alone, and says whether it is the same.

What comes out must be equal bit for bit: parameters, optimizer, encoder, scores, what keeps duplicates out, positions,
and the events learned, by number and checksum. Nothing of the model is changed, and its trainer may go on meanwhile.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from consumers.dead_letters import DeadLetters
from consumers.errors import ConsumerError
from consumers.source import Position, Positions, Source
from models.errors import ModelError
from models.learner import LearnerState
from service.checkpoints import Checkpoint
from service.config import Settings
from service.durability.journal_format import Entry
from service.durability.journal_reading import read_journal
from service.durability.lease import Unowned
from service.errors import CheckpointInvalid
from service.learning.lane import Lane
from service.learning.model import Model
from service.learning.trainer_process import open_model
from service.restart.contest_steps import is_put_out
from service.restart.history import history, is_renumbering
from service.restart.noted import Noted
from service.restart.relearning import Relearning, counted
from service.settings.dead_letters import DeadLetterSettings
from service.wiring import model_paths

_PATIENCE = 10.0
"""Seconds without news after which the log is taken to have nothing more."""


@dataclass(frozen=True, slots=True)
class Remade:
    """What came of making a checkpoint again.

    Attributes
    ----------
    outcome
        ``same``; ``differs``; or ``impossible``, where journal or log no longer hold what it takes.
    detail
        What differs, or why it cannot be known; empty where it is the same.
    events
        Learned again.
    """

    outcome: Literal["same", "differs", "impossible"]
    detail: str = ""
    events: int = 0


class _Impossible(Exception):
    """It cannot be made again; says why."""


@contextmanager
def model_to_read(settings: Settings, name: str, source: Source | None = None) -> Iterator[Model]:
    """Open the model `name` without owning it: what is learned with it goes nowhere.

    Raises
    ------
    ConsumerError, ServiceError
    """
    chosen = settings.models[name]
    # One event at a time, so that what lies between an update and a checkpoint's positions can be told; and nothing is
    # forwarded or paused by one who only looks.
    own = chosen.model_copy(
        update={
            "microbatch": chosen.microbatch.model_copy(update={"max_size": 1}),
            "dead_letters": DeadLetterSettings(topic=None, pause_share=None),
        }
    )
    changed = settings.model_copy(update={"models": {**settings.models, name: own}})
    with TemporaryDirectory(prefix="headrace-verify-") as folder:
        # What was refused before is refused again, so what was refused must be known; new letters go into the copy.
        copy = Path(folder, "dead_letters.sqlite")
        letters = model_paths(settings, name).dead_letters
        if letters.exists():
            with closing(DeadLetters(letters)) as known:
                known.copy_to(copy)
        model = open_model(changed, name, Unowned(), source=source, dead_letters=DeadLetters(copy))
        try:
            yield model
        finally:
            model.close()


def remake(model: Model, base: Checkpoint, target: Checkpoint) -> Remade:
    """Make `target` again out of `base`, and compare.

    Parameters
    ----------
    model
        From :func:`model_to_read`.
    base, target
        Two checkpoints of it; `base` is the older one.
    """
    try:
        steps = _steps(model, base, target)
        return _compare(model.recovery().relearning, steps, base, target)
    except (_Impossible, ConsumerError, ModelError) as error:
        return Remade("impossible", str(error))


def _steps(model: Model, base: Checkpoint, target: Checkpoint) -> Sequence[Entry]:
    """Return what led from one to the other."""
    if target.service.get("recipe") != model.recipe():
        raise _Impossible("it was made under other settings of the model than those of now")
    tail = read_journal(model.paths.journal, base.version)
    entries = [entry for entry in tail.entries if entry.version <= target.version]
    past = history(base.version, entries, target.service["learner"])
    if past.gap:
        raise _Impossible(past.gap)
    version = base.version
    for step in past.steps:
        # Who was put out was so in the update before, at its version.
        before = step.version if is_put_out(step) else step.version - 1
        follows = step.data["restored_from"] if is_renumbering(step) else before
        if follows != version:
            break
        version = step.version
    if version != target.version:
        problems = "".join(f"; {problem}" for problem in tail.problems)
        raise _Impossible(f"the journal leads from version {base.version} to {version} only{problems}")
    return past.steps


def _compare(relearning: Relearning, steps: Sequence[Entry], base: Checkpoint, target: Checkpoint) -> Remade:
    """Take the steps from `base` on and compare what that comes to."""
    noted = Noted.of(target, (), None)
    lane = relearning.begin(base, noted)
    try:
        again = relearning.follow(lane, steps, base.version, noted)
        lane = again.lane
        if isinstance(again.problem, CheckpointInvalid):
            raise _Impossible(f"the way leads over a rollback: {again.problem}")
        if again.problem is not None and lane.ingest.waiting_for_source:
            raise _Impossible("the log cannot be reached")
        events = lane.learned - counted(base).learned
        if again.problem is not None:
            return Remade("differs", str(again.problem), events)
        found = [*_differences(lane, target), *_missed(lane, target.positions)]
        return Remade("differs" if found else "same", "; ".join(found), events)
    finally:
        lane.close()


def _missed(lane: Lane, positions: Positions) -> Iterator[str]:
    """Read on to `positions`, which lie behind the last update where nothing usable came after it."""
    for partition, position in lane.positions.items():
        if position > positions.get(partition, Position(0)):
            yield f"partition {partition} was learned up to {tuple(position)}, beyond the checkpoint's position"
            return
    give_up = time.monotonic() + _PATIENCE
    while not lane.is_beyond(positions):
        batch = lane.batcher.next(0.1)
        if batch is None:
            if time.monotonic() > give_up:
                raise _Impossible("the log ends before the checkpoint's positions")
            continue
        give_up = time.monotonic() + _PATIENCE
        for partition, position in batch.track.positions().items():
            if position <= positions.get(partition, Position(0)):
                yield f"the event before {tuple(position)} of partition {partition} was passed without being learned"
                return
        lane.positions = batch.positions


def _differences(lane: Lane, target: Checkpoint) -> Iterator[str]:
    """Yield what is not as the checkpoint has it."""
    kept = target.service["lane"]
    if lane.learned != kept["learned"]:
        yield f"{lane.learned} events learned, not {kept['learned']}"
    if lane.count.hex != kept["events_checksum"]:
        yield f"the events' checksum is {lane.count.hex}, not {kept['events_checksum']}"
    assert lane.learner is not None, "a checkpoint is of a learner"  # noqa: S101
    found = {"": lane.learner.state(), **lane.screen.states()}
    expected = {"": target.learner, **target.others}
    if found.keys() != expected.keys():
        yield f"states of {sorted(found)}, not of {sorted(expected)}"
    for name in found.keys() & expected.keys():
        for difference in _between(found[name], expected[name]):
            yield f"{name}: {difference}" if name else difference


def _between(found: LearnerState, expected: LearnerState) -> Iterator[str]:
    # As JSON, in which the checkpoint keeps it: there NaN is equal to itself.
    meta, kept = json.loads(json.dumps(found.meta)), dict(expected.meta)
    for key in sorted(meta.keys() | kept.keys()):
        if json.dumps(meta.get(key), sort_keys=True) != json.dumps(kept.get(key), sort_keys=True):
            yield f"{key} differs"
    for name in sorted(found.arrays.keys() | expected.arrays.keys()):
        ours, theirs = found.arrays.get(name), expected.arrays.get(name)
        if ours is None or theirs is None:
            yield f"the array {name} is {'missing' if ours is None else 'one too many'}"
        elif (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            yield f"the array {name} is {ours.dtype}{ours.shape}, not {theirs.dtype}{theirs.shape}"
        elif ours.tobytes() != theirs.tobytes():
            yield f"the array {name} differs"
