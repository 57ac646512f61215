"""Which learner a configuration means, and which predictor what was published needs.

The one place where learners are named. Networks, losses and optimizers of the microbatch learner have tables of their
own, in ``networks.py``, ``losses.py`` and ``optimizers.py``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from models.contest_rules import FIRST, ContestRules
from models.drift_options import DriftOptions
from models.errors import LearnerOptionsInvalid, StateMismatch
from models.examples import Task
from models.learner import Array, Json, Learner, LearnerOptions, Predictor
from models.thinned import Thinned, ThinnedPredictor

_Make = Callable[[LearnerOptions, Task, float | None, DriftOptions, Path | None], Learner]


def _online(
    options: LearnerOptions,
    task: Task,
    event_clip: float | None,
    drift: DriftOptions,
    scratch: Path | None,  # noqa: ARG001 - it writes no files
) -> Learner:
    """Return River's learner; imported late, because importing River takes a second."""
    from models.online_learner import OnlineLearner

    return OnlineLearner(options, task, event_clip=event_clip, drift=drift)


def _microbatch(
    options: LearnerOptions, task: Task, event_clip: float | None, drift: DriftOptions, scratch: Path | None
) -> Learner:
    """Return PyTorch's learner; imported late, because importing PyTorch takes seconds."""
    from models.torch_learner import TorchLearner

    return TorchLearner(options, task, event_clip, drift, scratch)


def _batch(
    options: LearnerOptions,
    task: Task,
    event_clip: float | None,
    drift: DriftOptions,  # noqa: ARG001 - see below
    scratch: Path | None,  # noqa: ARG001 - it writes no files
) -> Learner:
    """Return the learner that trains anew every so often, drift or not; imported late, as PyTorch is."""
    from models.batch_learner import BatchLearner

    return BatchLearner(options, task, event_clip)


def _online_predictor(spec: Json, arrays: Mapping[str, Array]) -> Predictor:
    """Return River's predictor."""
    from models.online_predictor import OnlinePredictor

    return OnlinePredictor.from_published(spec, dict(arrays))


def _microbatch_predictor(spec: Json, arrays: Mapping[str, Array]) -> Predictor:
    """Return PyTorch's predictor."""
    from models.torch_predictor import TorchPredictor

    return TorchPredictor.from_published(spec, arrays)


def _contest_predictor(spec: Json, arrays: Mapping[str, Array]) -> Predictor:
    """Return the predictor of a champion and of challengers who answer some of the requests."""
    from models.contest_published import ContestPredictor

    return ContestPredictor.from_published(spec, arrays, load_predictor)


def _thinned_predictor(spec: Json, arrays: Mapping[str, Array]) -> Predictor:
    """Return the predictor of a stream that was thinned out."""
    return ThinnedPredictor.from_published(spec, arrays, load_predictor)


LEARNERS: dict[str, _Make] = {"online": _online, "batch": _batch}
"""Kinds that are learners of their own; every other kind is a network of the microbatch learner."""

PREDICTORS: dict[str, Callable[[Json, Mapping[str, Array]], Predictor]] = {
    "online": _online_predictor,
    "microbatch": _microbatch_predictor,
    "contest": _contest_predictor,
    "thinned": _thinned_predictor,
}
"""``spec["learner"]`` → what makes the predictor."""


def prepare(threads: int) -> None:
    """Import what learners need, so that none has to wait for it later, and bound the threads that they compute with.

    Parameters
    ----------
    threads
        For each operation on the CPU.
    """
    import torch

    import models.online_learner
    import models.torch_learner  # noqa: F401 - imported to be there

    torch.set_num_threads(threads)


def create_learner(
    options: LearnerOptions,
    task: Task,
    event_clip: float | None = None,
    drift: DriftOptions = DriftOptions(),
    scratch: Path | None = None,
) -> Learner:
    """Return a new learner.

    Parameters
    ----------
    options, task
        What it is built from, and what is predicted.
    event_clip
        Bound on the norm of each event's gradient with respect to the outputs, its weight included; None for none.
    drift
        Whether it watches for drift, and what follows.
    scratch
        A folder for files that matter only to this process; None: where the system has temporary ones.

    Raises
    ------
    LearnerOptionsInvalid
        No learner can be built from these options; the message names the key and what would be right.
    NetworkInvalid
        A user's own network cannot be loaded or does not keep the contract.
    """
    if options.key and options.kind in LEARNERS:
        raise LearnerOptionsInvalid(f"key: kind {options.kind} has no small models beside it; take another kind")
    made = LEARNERS.get(options.kind, _microbatch)(options, task, event_clip, drift, scratch)
    label = options.thinned_label
    return made if options.thinned == 1 or label is None else Thinned(made, label, options.thinned)


def create_contest(
    contenders: Mapping[str, LearnerOptions],
    rules: ContestRules,
    task: Task,
    make: Callable[[LearnerOptions, Task], Learner],
) -> Learner:
    """Return a new learner with its challengers, or the learner alone where it has none.

    Parameters
    ----------
    contenders
        Name → what it is built from; the model's own learner is :data:`models.contest_rules.FIRST`.
    rules
        What makes a challenger the champion.
    task
        What is predicted.
    make
        Builds one of them: :func:`create_learner`, whose errors are raised.
    """
    if len(contenders) == 1:
        return make(contenders[FIRST], task)
    from models.contest import Contest

    return Contest(contenders, task, lambda options: make(options, task), rules)


def load_predictor(spec: Json, arrays: Mapping[str, Array]) -> Predictor:
    """Return a predictor over published arrays, which are not copied.

    Raises
    ------
    StateMismatch
        `spec` is of a learner that this version does not know.
    """
    if spec.get("learner") not in PREDICTORS:
        raise StateMismatch(f"published by the learner {spec.get('learner')!r}, known are {', '.join(PREDICTORS)}")
    return PREDICTORS[spec["learner"]](spec, arrays)
