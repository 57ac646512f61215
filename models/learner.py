"""The interfaces of learning and predicting: start here.

A :class:`Learner` takes examples in the order of the log and updates parameters. It lives in the trainer's process.
What it publishes, a JSON description and flat arrays, is mapped by serving processes, where :func:`load_predictor` (in
``registry.py``) makes a :class:`Predictor` over the very same memory. The two sides never share an object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.effort import FULL, Effort
from models.errors import StateMismatch
from models.evaluation_ranking import ReliabilityBin
from models.examples import Examples, Features, Label, Task

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]
Json = Mapping[str, Any]
"""An object that JSON can carry."""


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """What a learner is built from; the section ``models.NAME.learner`` of the configuration.

    Attributes
    ----------
    kind
        A registry name (``auto``, ``leaves``, ``rls``, ``knn``, ``linear``, ``mlp``, ``fm``, ``online``, ``batch``), a
        user's own network (``path/to/file.py:ClassName``), or an entry point of the group ``headrace.networks``.
    loss
        ``auto``, ``bce``, ``ce``, ``mse``, ``mae`` or ``huber``; auto follows the task.
    optimizer
        ``auto``, ``sgd``, ``adam``, ``adamw`` or ``adagrad``.
    learning_rate
        A positive number, or ``auto`` for several at once around the optimizer's and network's default.
    device
        ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    momentum, weight_decay
        As the optimizers define them.
    gradient_clip
        Bound on the global norm of the gradient; 0 for none.
    step_size
        Events per gradient step within a microbatch; 0 makes the whole microbatch one step.
    chunk_size
        Events that are on the device at once while the gradient of one step accumulates; 0 is the whole step.
    replay
        Rows of the recent past that are learned again beside each step's new ones; ``auto`` is the network's default.
    window
        Events in the recent window of the prequential evaluation.
    seed
        Of the parameters' initial values.
    network
        Further arguments of the network, such as ``hidden: [64, 64]``.
    key
        Name of the feature whose values have a small model each; empty for none. See ``keyed.py``.
    keys, spilled_keys
        Keys whose parameters are at hand, and others that are kept on disk, at most.
    thinned, thinned_label
        Of the rows of which class one in how many is learned; 1 for all, of all classes. See ``thinned.py``.
    """

    kind: str = "auto"
    loss: str = "auto"
    optimizer: str = "auto"
    learning_rate: float | str = "auto"
    device: str = "auto"
    momentum: float = 0.9
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    step_size: int = 128
    chunk_size: int = 0
    replay: int | str = "auto"
    window: int = 5000
    seed: int = 0
    network: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    keys: int = 10_000
    spilled_keys: int = 1_000_000
    thinned: int = 1
    thinned_label: Label | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers for some rows.

    Attributes
    ----------
    classes
        The classes known, in the order of the columns of `probabilities`; empty for regression.
    probabilities
        float32, shape (rows, len(classes)), rows sum to 1; None for regression.
    values
        float64, shape (rows,); None for classes.
    contenders
        Who answered each row, where requests are shared among a champion and challengers; None where one answers all.
    """

    classes: tuple[Label, ...] = ()
    probabilities: NDArray[np.float32] | None = None
    values: NDArray[np.float64] | None = None
    contenders: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a learner answers now, for whoever looks whether it is sound before it is published.

    Attributes
    ----------
    predictions
        For all rows.
    finite
        Whether every parameter is a finite number, and the outputs for most rows were before what is not was replaced:
        a single row may ask for what has no answer.
    """

    predictions: Predictions
    finite: bool


@dataclass(frozen=True, slots=True)
class Tested:
    """What a learner itself answered of labelled rows before it learned them, wherever it computes; not to be changed.

    Attributes
    ----------
    answers
        Probabilities, floating, shape (rows, classes that were known), or values, floating, shape (rows,).
    targets
        The learner's own indices of the labels' classes, int64, or the labels, float64; shape (rows,).
    """

    answers: "Tensor"
    targets: "Tensor"


@dataclass(frozen=True, slots=True)
class LearnReport:
    """What one call of :meth:`Learner.learn` did; nothing in it waits for the device.

    Attributes
    ----------
    examples
        Rows taken in.
    drift
        How often drift became certain meanwhile.
    tested
        What it answered of the rows with a label, in their order; None where it knew nothing yet, or there were none.
    """

    examples: int
    drift: int = 0
    tested: Tested | None = None


@dataclass(frozen=True, slots=True)
class LearnerState:
    """All that a learner is, for a checkpoint.

    Attributes
    ----------
    meta
        JSON: names, classes, counters, schema version.
    arrays
        Host arrays, contiguous, owned by the caller (no later update changes them). Names are ``segment/name``: arrays
        that change together share a segment, so that a checkpoint writes only segments that changed.
    """

    meta: Json
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Published:
    """The current parameters, encoder included, as a serving process needs them.

    Attributes
    ----------
    spec
        JSON from which, with `arrays`, :func:`load_predictor` makes a predictor: the very same object as at the
        call before as long as neither it nor any array's name, shape or dtype has changed.
    arrays
        Name → contiguous host array; valid until the next call of :meth:`Learner.learn`.
    changed
        Name → ranges (start, stop) of flat elements that changed since the call before; a name that is absent did
        not change. None: take everything as changed.
    """

    spec: Json
    arrays: Mapping[str, Array]
    changed: Mapping[str, Sequence[tuple[int, int]]] | None = None


@dataclass(frozen=True, slots=True)
class LearnerStatus:
    """What operators ask of a learner. Reading it may wait for the device, so it is read a few times a second at most.

    Attributes
    ----------
    scores
        ``{"stream": {...}, "window": {...}}`` as ``evaluation.py`` describes them, baselines included.
    skipped
        Reason → updates that were masked (``non_finite``).
    restorations
        How often the last good parameters were brought back.
    classes, features
        What is known so far; features as ``{"name": …, "kind": …}``.
    device, device_memory
        Where it learns, and bytes held there (0 on the CPU).
    drift
        How often drift was certain in its errors.
    reliability
        How reliable probabilities were of late; nothing for regression.
    experts
        Where several experts are mixed, what each is worth: expert → measure (``weight``, its share in the answers;
        ``loss``, its own of late) → value.
    contest
        How a champion and its challengers stand (:meth:`models.contest.Contest.status`); None of a learner alone.
    """

    scores: Mapping[str, Mapping[str, float]]
    skipped: Mapping[str, int]
    restorations: int
    classes: tuple[Label, ...]
    features: Sequence[Json]
    device: str
    device_memory: int
    drift: int = 0
    reliability: Sequence[ReliabilityBin] = ()
    experts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    contest: Json | None = None


class Predictor(Protocol):
    """Answers from published parameters; pure: no call changes an answer."""

    def predict(self, features: Features) -> Predictions:
        """Return predictions for all rows; with no class known yet, probabilities of shape (rows, 0)."""


@runtime_checkable
class SharingPredictor(Protocol):
    """One in which a champion and challengers share the rows among them: see ``contest_published.py``."""

    def predict(self, features: Features) -> Predictions:
        """Return the champion's predictions for all rows."""

    def predict_by(self, features: Features, keys: NDArray[np.uint64]) -> Predictions:
        """Return predictions, each row's by whom its key, shape (rows,), belongs to, and who that was."""


class Learner(Protocol):
    """Learns from examples. Owned by one thread."""

    @property
    def name(self) -> str:
        """``microbatch`` or ``online``: the value of the metrics' label ``learner``."""

    @property
    def task(self) -> Task:
        """What it predicts."""

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """Score `examples` with the parameters as they are (test), then learn from them (train).

        Parameters
        ----------
        examples
            In the order of the log.
        effort
            How much work it may be. State, examples and effort together give the same parameters again.

        Raises
        ------
        DeviceFailed
            The accelerator is gone; the state is lost.
        """

    def predictor(self) -> Predictor:
        """Return a predictor over the current parameters, for tests and for scoring beside the service."""

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """Return the current parameters' answers, without a copy of them; changes nothing, may wait for the device.

        Parameters
        ----------
        features
            What to answer.
        at_once
            Rows to be on the device at once, at most; 0 for no bound but the learner's own.

        Raises
        ------
        DeviceFailed
        """

    def status(self) -> LearnerStatus:
        """Return what operators ask for."""

    def state(self) -> LearnerState:
        """Return everything, copied."""

    def restore(self, state: LearnerState) -> None:
        """Become exactly what `state` was taken from: the same updates then give the same parameters.

        Raises
        ------
        StateMismatch
        """

    def forget_scores(self) -> None:
        """Begin to score, and to look for drift, anew: what comes next is another stream. What was learned stays."""

    def published(self, *, flush: bool = False) -> Published:
        """Return the newest parameters that have finished computing.

        Parameters
        ----------
        flush
            Hand over what is newest even where the learner limits how often it does that (`changed` is then an empty
            mapping in between).
        """


def check_spec(spec: Json, learner: str, schema: int) -> None:
    """Refuse a published spec that is another learner's, or of another schema version.

    Raises
    ------
    StateMismatch
    """
    found = (spec.get("learner"), spec.get("schema"))
    if found != (learner, schema):
        raise StateMismatch(f"expected {(learner, schema)}, found {found}: restart the serving process")
