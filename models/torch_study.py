"""How the microbatch learner learns rows that a teacher has said something of: labels and answers together.

What a teacher says goes into what experts learn, and into how a mixture mixes them, for both serve one loss. Scores,
drift, the classes' shares, statistics and lags of the target come from labels alone: who is judged by his teacher's
word never hears of its mistakes, and what a teacher says comes without the delay that labels have. Only the scale of
numbers is of all that is learned, for nothing can be learned in a unit that is not known.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.devices import to_device
from models.distillation import lesson_in_classes, lesson_in_numbers, marks_of, weights_of
from models.effort import Effort
from models.examples import Examples
from models.targets import NumberTargets

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner

Targets = NDArray[np.float64 | np.int64]


def study(learner: "TorchLearner", examples: Examples, targets: Targets, effort: Effort) -> None:
    """Learn rows that a teacher has said something of.

    Parameters
    ----------
    learner
        It has scored those that have a label.
    examples
        At least one row.
    targets
        Of those of `examples` that have a label, in order: indices of classes, or numbers; shape (rows,).
    effort
        How much work it may be.
    """
    heavy = examples.weights > 0
    if not heavy.all():
        targets = targets[heavy[marks_of(examples)]]
        examples = examples.take(np.flatnonzero(heavy))
    if not len(examples):
        return
    taught, labelled = examples.taught, marks_of(examples)
    assert taught is not None, "what nobody has said anything of is not studied"  # noqa: S101
    model, expert = learner.model, learner.expert
    if isinstance(model.targets, NumberTargets):
        lesson = lesson_in_numbers(taught, targets.astype(np.float64), labelled)
        seen = lesson.targets.copy()
        seen[labelled] = targets
        moved = model.targets.observe(seen)
        if moved is not None:
            expert.rescale(*moved)
        wanted: NDArray[Any] = model.targets.standard(lesson.targets)
    else:
        places = model.targets.read(taught.classes)
        lesson = lesson_in_classes(taught, targets.astype(np.int64), labelled, places)
        model.targets.observe(targets.astype(np.int64))
        wanted = lesson.targets
    prepared = model.encoder.prepare(examples.features)
    learner.observe(prepared)
    rows = model.encode(prepared).take(lesson.rows).at(effort)
    weights = learner.relative(weights_of(examples))[lesson.rows] * lesson.shares
    expert.learn(rows, to_device(wanted, model.device), to_device(weights, model.device), model.prior(), None)
    if labelled.any():
        known = prepared if labelled.all() else model.encoder.prepare(examples.known().features)
        learner.learn_statistics(known, targets)
