"""The microbatch learner: scores each microbatch with the parameters before it, then learns from it in gradient steps.

The host reads and encodes features; from then on everything stays on the device, and nothing waits for it: outputs and
labels go to the evaluation there, gradients to the parameters, and steps that must not count are undone there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models import torch_state
from models.devices import choose_device, device_errors, memory_held
from models.encoder_layout import Layout, power_of_two
from models.errors import LearnerOptionsInvalid
from models.evaluation import Prequential
from models.examples import Examples, Task
from models.features import TABLE_ROWS, FeatureEncoder, Prepared
from models.gradient_step import Rows, Step
from models.guard import INTERVAL, Guard
from models.learner import LearnerOptions, LearnerState, LearnerStatus, LearnReport, Predictor, Published
from models.losses import create_loss
from models.networks import create_network
from models.optimizers import create_optimizer
from models.parameters import Parameters, table_rows
from models.replay import Replay
from models.targets import NumberTargets, create_targets
from models.torch_model import TorchModel, outputs_needed
from models.torch_predictor import NAME, TorchPredictor
from models.torch_published import Publication

HEAVIEST = 100.0  # times the mean weight: no row weighs more in a gradient


@dataclass
class Counters:
    """What is counted on the host.

    Attributes
    ----------
    updates, steps
        Calls of :meth:`TorchLearner.learn` that had rows, and gradient steps.
    weight, rows
        Sum of the weights above 0, and how many there were.
    """

    updates: int = 0
    steps: int = 0
    weight: float = 0.0
    rows: int = 0


class TorchLearner:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    options
        What it is built from; the kind ``auto`` is the same as ``mlp`` for now.
    task
        What is predicted.

    Raises
    ------
    LearnerOptionsInvalid, NetworkInvalid
    """

    def __init__(self, options: LearnerOptions, task: Task) -> None:
        self.options = options
        self._loss = create_loss(options.loss, task)
        network = create_network(options.kind, options.network)
        device = choose_device(options.device)
        single = task is Task.BINARY and options.loss in ("auto", "bce")
        encoder = FeatureEncoder(task, Layout(), {})
        self.model = TorchModel(task, single, encoder, create_targets(task), network, None, device)
        name = next(iter(network.default_rates)) if options.optimizer == "auto" else options.optimizer
        optimizer = create_optimizer(name, options)
        rate = network.default_rates[name] if options.learning_rate == "auto" else float(options.learning_rate)
        if not rate > 0:
            raise LearnerOptionsInvalid(f"learning_rate: {options.learning_rate!r} is not a positive number or auto")
        self._step = Step(network, self._loss, optimizer, rate, options.gradient_clip, options.chunk_size)
        with device_errors():
            self.parameters = Parameters(network, optimizer.memories, device)
            self.guard = Guard(device)
            self.replay = Replay(device, torch.float64 if task is Task.REGRESSION else torch.int64)
            self.evaluation = Prequential(task, options.window, device)
        self._replayed = network.default_replay if options.replay == "auto" else int(options.replay)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.counters = Counters()
        self.width = 0
        self.shape = (0, 0)
        self._publication = Publication()

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`."""
        return NAME

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self.model.task

    def learn(self, examples: Examples) -> LearnReport:
        """See :class:`models.learner.Learner`."""
        if not len(examples):
            return LearnReport(0, 0)
        with device_errors(), torch.no_grad():
            prepared = self.model.encoder.prepare(examples.features)
            targets = self._test(prepared, examples)
            kept = examples.weights > 0
            if not kept.all():
                rows = np.flatnonzero(kept)
                examples, targets = examples.take(rows), targets[rows]
                prepared = self.model.encoder.prepare(examples.features)
            before = self.counters.steps
            if len(examples):
                self._train(prepared, targets, examples.weights)
            self.counters.updates += 1
            if self.counters.updates % INTERVAL == 0:
                self.guard.look(self.parameters)
        return LearnReport(len(kept), self.counters.steps - before)

    def _test(self, prepared: Prepared, examples: Examples) -> NDArray[np.float64 | np.int64]:
        """Score rows with everything as it is before they are learned, and return their targets."""
        answers = self.model.answers(prepared)
        targets = self.model.targets.read(examples.labels)
        if self.task is Task.BINARY and len(self.model.targets.classes) > 2:
            raise ValueError(f"a binary task has two classes, these are {self.model.targets.classes}")
        self.evaluation.grow(len(self.model.targets.classes))
        weights = torch.from_numpy(examples.weights).to(self.model.device, non_blocking=True)
        self.evaluation.update(answers, torch.from_numpy(targets).to(self.model.device, non_blocking=True), weights)
        return targets

    def _train(self, prepared: Prepared, targets: NDArray[np.float64 | np.int64], weights: NDArray[np.float32]) -> None:
        """Learn from rows that all have a weight."""
        model = self.model
        model.targets.observe(targets)
        model.encoder.observe(prepared)
        self._grow()
        dense = torch.from_numpy(model.encoder.encode(prepared, model.targets.scale())).to(
            model.device, non_blocking=True
        )
        sparse = model.encoder.sparse(prepared) if self.parameters.table is not None else None
        on_device = torch.from_numpy(targets).to(model.device, non_blocking=True)
        relative = torch.from_numpy(self._relative(weights)).to(model.device, non_blocking=True)
        if self._replayed:
            self.replay.add(dense, on_device, relative, sparse)
        self._take_steps(Rows(dense, on_device, relative, sparse))
        self._publication.statistics.add(model.encoder.learn_targets(prepared, targets.astype(np.float64)))

    def _relative(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return weights as multiples of their mean so far: what counts is what a row weighs beside others."""
        self.counters.weight += float(weights.sum(dtype=np.float64))
        self.counters.rows += len(weights)
        relative: NDArray[np.float32] = np.minimum(
            weights / (self.counters.weight / self.counters.rows), HEAVIEST
        ).astype(np.float32)
        return relative

    def _take_steps(self, rows: Rows) -> None:
        """Learn from rows in gradient steps, each with some of the recent past."""
        size = self.options.step_size or len(rows.targets)
        steps = range(0, len(rows.targets), size)
        offsets = self.model.offsets()
        random = np.random.Generator(np.random.PCG64([self.options.seed, self.counters.updates]))
        drawn = random.integers(0, max(len(self.replay), 1), (len(steps), self._replayed))
        for start, picked in zip(steps, drawn, strict=True):
            self.counters.steps += 1
            batch = self._with_past(rows.slice(start, start + size), picked)
            if batch.sparse:
                self._publication.table.add(batch.sparse.places)
            self._step.take(batch, offsets, self.parameters, self.guard, self.counters.steps)

    def _with_past(self, rows: Rows, picked: NDArray[np.intp]) -> Rows:
        """Return rows of a step and some of the past; targets as the loss takes them, weights over their number."""
        dense, targets, weights, sparse = rows.dense, rows.targets, rows.weights, rows.sparse
        if len(picked):
            places = torch.from_numpy(picked).to(dense.device, non_blocking=True)
            dense = torch.cat([dense, self.replay.dense.index_select(0, places)])
            targets = torch.cat([targets, self.replay.targets.index_select(0, places)])
            weights = torch.cat([weights, self.replay.weights.index_select(0, places)])
            sparse = sparse.followed_by(self.replay.sparse(picked)) if sparse else None
        if isinstance(self.model.targets, NumberTargets):
            mean, deviation = self.model.targets.scale()
            targets = ((targets - mean) * (1 / deviation if deviation else 0.0)).float()
        return Rows(dense, targets, weights / len(weights), sparse)

    def _grow(self) -> None:
        """Make room in the network for new columns and new classes."""
        model, network, layout = self.model, self.model.network, self.model.encoder.layout
        inputs = model.encoder.capacity if network.spare else max(layout.width, 1)
        needed = outputs_needed(self.task, model.single, len(model.targets.classes))
        outputs = power_of_two(needed, 1) if network.spare else needed
        if (inputs, outputs) != self.shape:
            self.shape = (inputs, outputs)
            self.parameters.grow(network.shapes(inputs, outputs), self.generator)
        network.add_inputs(self.parameters.views, self.width, layout.roles[self.width :], self.generator)
        self.width = layout.width
        columns = network.table_width(outputs)
        if columns and layout.strings:
            self.parameters.grow_table(table_rows(TABLE_ROWS, columns), columns, self.generator)
            model.table = None if self.parameters.table is None else self.parameters.table[0]
        model.ready = True

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`."""
        skipped = int(self.guard.skipped)
        return LearnerStatus(
            scores=self.evaluation.scores(),
            skipped={"non_finite": skipped} if skipped else {},
            restorations=int(self.guard.restorations),
            classes=tuple(self.model.targets.classes),
            features=self.model.encoder.features(),
            device=str(self.model.device),
            device_memory=memory_held(self.model.device),
        )

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            published = Publication().make(self)
            return TorchPredictor.from_published(published.spec, {k: v.copy() for k, v in published.arrays.items()})

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return torch_state.save(self)

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            torch_state.load(self, state)
        self._publication.forget()

    def published(self, *, flush: bool = False) -> Published:  # noqa: ARG002 - the newest is always handed over
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return self._publication.make(self)
