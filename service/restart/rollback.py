"""Back to the learner of a checkpoint, while all else stays as it is: positions, counts, what is known of the stream.

The one place where that is done: for the canary, for an operator, and for a restart that meets the decision in the
journal. So all of them come to the same parameters, bit for bit.
"""

from collections.abc import Callable, Sequence

from models.contesting import count_on, restore
from models.examples import Task
from models.learner import Learner, LearnerState
from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore
from service.errors import CheckpointInvalid
from service.learning.lane import Lane

DECISION = "rollback"
"""Kind of the journal's decision; its data say which version's learner came back, as ``restored_from``."""


def roll_back(lane: Lane, state: LearnerState, make_learner: Callable[[Task], Learner]) -> None:
    """Give `lane` the learner that `state` was taken from.

    It is a new one, built and restored as at a start, so that nothing of the one before is left in it.

    Raises
    ------
    DeviceFailed, StateMismatch
        `lane` keeps the learner that it had.
    """
    assert lane.learner is not None, "a checkpoint is of a learner"  # noqa: S101
    learner = make_learner(lane.learner.task)
    restore(learner, state)
    count_on(learner, lane.learner)
    lane.learner = learner


def find_checkpoint(store: CheckpointStore, which: int | str) -> Checkpoint:
    """Return a kept checkpoint by its version, or by a name that was given to it.

    Raises
    ------
    CheckpointInvalid
        There is none (any more), or it is broken; the message names those that are there.
    """
    kept = store.list()
    for info in kept:
        if info.version == which or which in info.names:
            checkpoint = store.load(info)
            assert checkpoint is not None, "one that is asked for by name is there"  # noqa: S101
            return checkpoint
    raise CheckpointInvalid(not_kept(kept, which))


def not_kept(kept: Sequence[CheckpointInfo], which: int | str) -> str:
    """Return what to say where none of those that are kept is the one that is meant."""
    versions = ", ".join(" = ".join([str(info.version), *info.names]) for info in kept) or "none"
    meant = f"of version {which}" if isinstance(which, int) else f"called {which}"
    return f"there is no checkpoint {meant} (any more); those that are kept: {versions}"
