"""A checkpoint → the learner that it is of, built on the CPU: for who answers from it, or hands it on."""

from dataclasses import replace

import msgspec

from models.contesting import champions_options, restore
from models.examples import Task
from models.learner import Learner, LearnerOptions
from models.registry import create_learner
from service.checkpoints import Checkpoint


def learner_of(checkpoint: Checkpoint) -> Learner:
    """Return the learner of a checkpoint; of several that compete the champion, whoever it is.

    Raises
    ------
    ModelError
        It cannot be built.
    """
    # Who only answers has no use for a device, and may have none.
    learner = create_learner(replace(options_of(checkpoint), device="cpu"), Task(checkpoint.service["task"]))
    restore(learner, checkpoint.learner)
    return learner


def options_of(checkpoint: Checkpoint) -> LearnerOptions:
    """Return what that learner was built from."""
    champions = champions_options(checkpoint.learner)
    options = msgspec.convert(champions or checkpoint.service["options"], LearnerOptions)
    if checkpoint.service["learner"] == "online" and champions is None:
        return replace(options, kind="online")
    return options
