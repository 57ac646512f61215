"""The microbatch learner: scores each microbatch with what was known before it, then learns from it.

The host reads and encodes features; from then on everything stays on the device, and nothing waits for it: answers and
labels go to the evaluation there, and what is learned to the expert's tensors. What answers and learns is an
:class:`models.expert.Expert`; what a learner is to a checkpoint is in ``torch_state.py``, and to a serving process in
``torch_published.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import torch_state
from models.devices import choose_device, device_errors, memory_held, to_device
from models.drift import DriftWatch
from models.drift_options import FORGETFUL, HEAVIER, UNWATCHED, DriftOptions
from models.drift_succession import Succession
from models.effort import FULL, Effort
from models.encoder_layout import Layout
from models.evaluation import Prequential
from models.examples import Examples, Features, Task
from models.expert import Encoded, Expert
from models.experts import create_expert
from models.features import FeatureEncoder, Prepared
from models.guard import INTERVAL
from models.keyed import Keyed
from models.learner import LearnerOptions, LearnerState, LearnerStatus, LearnReport, Predictor, Published, Tested, Trial
from models.targets import NumberTargets, create_targets
from models.torch_model import TorchModel
from models.torch_predictor import NAME, TorchPredictor
from models.torch_published import Publication, arrays_of, describe
from models.torch_study import study
from models.touched import Touched

Targets = NDArray[np.float64 | np.int64]

HEAVIEST = 100.0  # times the mean weight: no row weighs more when it is learned,
BOUNDED = 1.0  # nor more than this where one event is bounded, or than its bound if that is more
SETTLED = 16  # times a microbatch's rows that were seen before: it hardly moves a mean any more


@dataclass
class Counters:
    """What is counted on the host.

    Attributes
    ----------
    updates
        Microbatches that had rows.
    weight, rows
        Sum of the weights above 0, and how many there were.
    heavier
        Rows to come that weigh more than others.
    """

    updates: int = 0
    weight: float = 0.0
    rows: int = 0
    heavier: int = 0


class TorchLearner:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    options
        What it is built from.
    task
        What is predicted.
    event_clip
        Bound on the norm of each event's gradient with respect to the outputs, its weight (as a multiple of the mean
        weight) included; None for none.
    drift
        Whether it watches for drift, and what follows.
    scratch
        A folder for files that matter only to this process; None: where the system has temporary ones.

    Raises
    ------
    LearnerOptionsInvalid, NetworkInvalid
    """

    def __init__(
        self,
        options: LearnerOptions,
        task: Task,
        event_clip: float | None = None,
        drift: DriftOptions = UNWATCHED,
        scratch: Path | None = None,
    ) -> None:
        self.options = options
        # Experts bound what gradients do themselves; what else is made of weights, shares and sums, is bounded here.
        self._heaviest = HEAVIEST if event_clip is None else min(HEAVIEST, max(BOUNDED, event_clip))
        device = choose_device(options.device)
        make = partial(create_expert, options, task, device, event_clip)
        with device_errors():
            react = drift.reaction(options.kind)
            succeeds = react in ("reset", "background")
            self._succession = Succession(make, react, task, options.loss, device) if succeeds else None
            shared = self._succession or make()
            self.keyed = Keyed(shared, options, task, device, scratch) if options.key else None
            self._watched = drift
            self.drift = DriftWatch(drift, task, device)
            self.evaluation = Prequential(task, options.window, device)
        expert = self.keyed or shared
        encoder = FeatureEncoder(task, Layout(), {}, spare=expert.spare)
        self.model = TorchModel(task, encoder, create_targets(task), expert, device, key=options.key)
        self.counters = Counters()
        self.touched_statistics = Touched()
        self.known: tuple[int, ...] = ()
        self._forgets = react == "forget"
        self._publication = Publication(self)

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`."""
        return NAME

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self.model.task

    @property
    def expert(self) -> Expert:
        """What answers and learns."""
        return self.model.expert

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """See :class:`models.learner.Learner`.

        Rows of weight 0 are scored, and not learned from; rows without a label are not scored.
        """
        if not len(examples):
            return LearnReport(0)
        with device_errors(), torch.no_grad():
            known = examples.known()
            prepared = self.model.encoder.prepare(known.features)
            rows, answered, targets, drifts, tested = self._test(prepared, known)
            if self._react(drifts, effort):
                answered = None
            kept = np.flatnonzero(known.weights > 0)
            if examples.taught is not None:
                study(self, examples, targets, effort)
            elif not len(kept):
                if self.model.ready:  # a class may be new all the same
                    self.grow()
            elif len(kept) == len(known):
                self._train(prepared, rows, answered, targets, known.weights, effort=effort)
            else:
                weighty = known.take(kept)
                prepared = self.model.encoder.prepare(weighty.features)
                self._train(prepared, None, None, targets[kept], weighty.weights, effort=effort)
            self.counters.updates += 1
            if self.counters.updates % INTERVAL == 0:
                self.expert.look_back()
        return LearnReport(len(examples), drifts, tested)

    def _test(
        self, prepared: Prepared, examples: Examples
    ) -> tuple[Encoded | None, Tensor | None, Targets, int, Tested | None]:
        """Score rows with everything as it is; return them encoded, outputs, targets, drifts, and what was answered."""
        model = self.model
        if not len(examples):
            return None, None, np.empty(0, np.int64), 0, None
        rows, outputs, answers = None, None, model.uninformed(len(examples))
        if model.ready:
            rows, prior = model.encode(prepared), model.prior()
            outputs = model.outputs(rows, prior, self.options.chunk_size)
            answers = model.answers_of(outputs, prior)
        targets = model.targets.read(examples.labels)
        classes = len(model.targets.classes)
        if self.task is Task.BINARY and classes > 2:
            raise ValueError(f"a binary task has two classes, these are {model.targets.classes}")
        self.evaluation.grow(classes)
        there = to_device(targets, model.device)
        known_classes, asked = model.targets.classes, examples.answered
        self.evaluation.update(answers, there, examples.weights, answered=asked, classes=known_classes)
        known = answers if model.ready else None
        drifts = self.drift.update(known, there, examples.weights, model.targets.scale().deviation)
        return rows, outputs, targets, drifts, None if known is None else Tested(known, there)

    def _react(self, drifts: int, effort: Effort) -> bool:
        """Do what is to follow from so many drifts; return whether other experts answer from now on."""
        if drifts and self._forgets:
            self.counters.heavier = FORGETFUL
        if self._succession is None or not self._succession.react(drifts, effort):
            return False
        self._publication = Publication(self)
        return True

    def _train(
        self,
        prepared: Prepared,
        tested: Encoded | None,
        answered: Tensor | None,
        targets: Targets,
        weights: NDArray[np.float32],
        *,
        effort: Effort,
    ) -> None:
        """Learn from rows, all of which have a weight.

        Parameters
        ----------
        prepared
            Their features.
        tested
            What they were encoded as before; they are learned as that where the encoder hardly changes.
        answered
            What the expert answered then; of no use any more where there are more classes now, or another scale.
        targets
            Indices of classes, or numbers; shape (rows,).
        weights
            float32, shape (rows,).
        effort
            How much work it may be.
        """
        model, expert = self.model, self.expert
        settled = self.counters.rows >= SETTLED * prepared.rows
        moved = model.targets.observe(targets)
        if moved is not None:
            expert.rescale(*moved)
        grown = self.observe(prepared)
        same = settled and not grown and moved is None
        rows = tested if tested is not None and same else model.encode(prepared)
        relative = to_device(self.relative(weights), model.device)
        standard = model.targets.standard(targets) if isinstance(model.targets, NumberTargets) else targets
        prior = model.prior()
        if moved is not None or (answered is not None and answered.shape[1] != len(prior)):
            answered = None
        expert.learn(rows.at(effort), to_device(standard, model.device), relative, prior, answered)
        self.learn_statistics(prepared, targets)

    def observe(self, prepared: Prepared) -> bool:
        """Take in features; return whether columns are new, or carry other features, or there are new classes."""
        renewed = self.model.encoder.observe(prepared)
        grown = self.grow()
        if renewed.inputs or renewed.raws:
            self.expert.renew(renewed.inputs, renewed.raws)
            grown = True
        return grown

    def learn_statistics(self, prepared: Prepared, targets: Targets) -> None:
        """Have the encoder take in the targets, shape (rows,), of rows that were learned."""
        encoder, scale = self.model.encoder, self.model.targets.scale()
        self.touched_statistics.add(encoder.learn_targets(prepared, targets.astype(np.float64), scale))

    def grow(self) -> bool:
        """Have the expert make room for new columns and new classes; return whether there are any."""
        space = self.model.space()
        known = (
            space.layout.width,
            space.inputs,
            space.raws,
            space.raws_used,
            space.classes,
            len(space.layout.strings),
        )
        if known == self.known:
            return False
        self.known = known
        self.expert.grow(space)
        self.model.ready = True
        return True

    def relative(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return weights as multiples of their mean so far: what counts is what a row weighs beside others."""
        counters = self.counters
        usual = counters.weight / counters.rows if counters.rows else float(np.median(weights))
        # Bounded before the mean is taken: else one row that weighs a million makes nothing of all others.
        bounded = np.minimum(weights.astype(np.float64), self._heaviest * usual)
        counters.weight += float(bounded.sum())
        counters.rows += len(weights)
        multiples = bounded / (counters.weight / counters.rows)
        if counters.heavier:
            multiples[: counters.heavier] *= HEAVIER
            counters.heavier = max(0, counters.heavier - len(weights))
        relative: NDArray[np.float32] = np.minimum(multiples, self._heaviest).astype(np.float32)
        return relative

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            copies = {name: array.copy() for name, array in arrays_of(self).items()}
            return TorchPredictor.from_published(describe(self), copies)

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            bounds = [bound for bound in (at_once, self.options.chunk_size) if bound]
            return self.model.try_out(features, self.expert.held(), min(bounds, default=0))

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            reports = self.expert.reports()
            skipped = int(reports.pop("skipped", 0))
            return LearnerStatus(
                scores=self.evaluation.scores(),
                reliability=self.evaluation.reliability(),
                skipped={"non_finite": skipped} if skipped else {},
                restorations=int(reports.pop("restorations", 0)),
                classes=tuple(self.model.targets.classes),
                features=self.model.encoder.features(),
                device=str(self.model.device),
                device_memory=memory_held(self.model.device),
                drift=self.drift.drifts,
                experts=_by_expert(reports),
            )

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return torch_state.save(self)

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            torch_state.load(self, state)
        self._publication = Publication(self)

    def forget_scores(self) -> None:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            device = self.model.device
            self.drift = DriftWatch(self._watched, self.task, device)
            self.evaluation = Prequential(self.task, self.options.window, device, learned=self.model.ready)
            self.evaluation.grow(len(self.model.targets.classes))

    def published(self, *, flush: bool = False) -> Published:  # noqa: ARG002 - the newest is always handed over
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return self._publication.make()


def _by_expert(reports: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return reports, ``measure.expert`` → value, as expert → measure → value."""
    found: dict[str, dict[str, float]] = {}
    for name, value in reports.items():
        measure, _, expert = name.partition(".")
        found.setdefault(expert, {})[measure] = value
    return found
