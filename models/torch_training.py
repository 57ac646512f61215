"""How a microbatch is learned: in gradient steps, each of some new rows and some of the recent past.

Before that, the encoder takes in what the rows say of it, and the network makes room for what is new in them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.encoder_layout import power_of_two
from models.errors import LearnerOptionsInvalid
from models.examples import Task
from models.features import TABLE_ROWS, Prepared
from models.gradient_step import Rows, Step
from models.guard import Guard
from models.learner import LearnerOptions
from models.losses import create_loss
from models.moments import OUTLIER
from models.optimizers import create_optimizer
from models.parameters import Parameters, table_rows
from models.replay import Replay
from models.targets import NumberTargets
from models.torch_model import TorchModel, outputs_needed
from models.touched import Touched

Targets = NDArray[np.float64 | np.int64]

HEAVIEST = 100.0  # times the mean weight: no row weighs more in a gradient
PASSES = 8  # over the first microbatch, if rows are replayed at all; fewer over the next ones,
PASSES_END = 500  # and after so many gradient steps one
SETTLED = 128  # times a microbatch's rows that were seen before: it hardly moves a mean any more


@dataclass
class Counters:
    """What is counted on the host.

    Attributes
    ----------
    updates, steps
        Microbatches that had rows, and gradient steps.
    weight, rows
        Sum of the weights above 0, and how many there were.
    """

    updates: int = 0
    steps: int = 0
    weight: float = 0.0
    rows: int = 0


def _positive(key: str, value: float | str, default: float, *, zero: bool = False) -> float:
    """Return an option's value, or the default where it is ``auto``."""
    if value == "auto":
        return default
    if not isinstance(value, int | float) or not (0 < value < float("inf") or (zero and value == 0)):
        raise LearnerOptionsInvalid(f"{key}: {value!r} is not {'0, ' if zero else ''}a positive number or auto")
    return value


class Training:
    """Learns one microbatch after another into a model.

    Parameters
    ----------
    model
        What learns; changed.
    options
        How to.
    event_clip
        See :class:`models.gradient_step.Step`.

    Attributes
    ----------
    parameters, guard, replay, generator, counters
        All that training remembers, beside the model.
    shape
        Inputs and outputs that the network has now.
    width
        Input columns whose weights were made.
    touched, touched_statistics
        Rows that changed, of the tables of parameters and of statistics.

    Raises
    ------
    LearnerOptionsInvalid
    """

    def __init__(self, model: TorchModel, options: LearnerOptions, event_clip: float | None = None) -> None:
        self._model, self._options = model, options
        network, device = model.network, model.device
        name = next(iter(network.default_rates)) if options.optimizer == "auto" else options.optimizer
        optimizer = create_optimizer(name, options)
        default = network.default_rates[name]
        rate = _positive("learning_rate", options.learning_rate, default.rate)
        loss = create_loss(options.loss, model.task)
        clips = options.gradient_clip, options.chunk_size, event_clip
        self._step = Step(network, loss, optimizer, rate, default.table, *clips)
        self._replayed = int(_positive("replay", options.replay, network.default_replay, zero=True))
        self.parameters = Parameters(network, optimizer.memories, device)
        self.guard = Guard(device)
        self.replay = Replay(device, torch.float64 if model.task is Task.REGRESSION else torch.int64)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.counters = Counters()
        self.shape = (0, 0)
        self.width = 0
        self.touched, self.touched_statistics = Touched(), Touched()

    def learn(self, prepared: Prepared, tested: Tensor | None, targets: Targets, weights: NDArray[np.float32]) -> None:
        """Learn from rows, all of which have a weight.

        Parameters
        ----------
        prepared
            Their features.
        tested
            Their dense input as it was encoded before; it is learned from again where the encoder hardly changes.
        targets
            Indices of classes, or numbers; shape (rows,).
        weights
            float32, shape (rows,).
        """
        model = self._model
        settled = self.counters.rows >= SETTLED * prepared.rows
        model.targets.observe(targets)
        renewed = model.encoder.observe(prepared)
        grown = self.grow()
        if renewed:
            self._renew(renewed)
            grown = True
        dense = tested if tested is not None and settled and not grown else model.dense(prepared)
        sparse = model.sparse(prepared)
        relative = to_device(self._relative(weights), model.device)
        rows = Rows(dense, to_device(targets, model.device), relative, sparse)
        if self._replayed:
            self.replay.add(rows.dense, rows.targets, rows.weights, sparse)
        self._take_steps(rows)
        self.touched_statistics.add(model.encoder.learn_targets(prepared, targets.astype(np.float64)))

    def look_back(self) -> None:
        """See :meth:`models.guard.Guard.look`."""
        self.guard.look(self.parameters)
        self.touched.add_all()

    def _relative(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return weights as multiples of their mean so far: what counts is what a row weighs beside others."""
        self.counters.weight += float(weights.sum(dtype=np.float64))
        self.counters.rows += len(weights)
        mean = self.counters.weight / self.counters.rows
        relative: NDArray[np.float32] = np.minimum(weights / mean, HEAVIEST).astype(np.float32)
        return relative

    def grow(self) -> bool:
        """Make room in the network for new columns and new classes; return whether there are new columns."""
        model, network, layout = self._model, self._model.network, self._model.encoder.layout
        needed = outputs_needed(model.task, model.single, len(model.targets.classes))
        shape = (model.encoder.capacity, power_of_two(needed, 1) if network.spare else needed)
        if shape != self.shape:
            self.shape = shape
            self.parameters.grow(network.shapes(*shape), self.generator)
        model.ready = True
        columns = network.table_width(shape[1])
        if columns and any(key.kind in network.table_kinds for key in layout.strings):
            self.parameters.grow_table(table_rows(TABLE_ROWS, columns), columns, self.generator)
            model.table = None if self.parameters.table is None else self.parameters.table[0]
        if self.width == layout.width:
            return False
        network.add_inputs(self.parameters.views, self.width, layout.roles[self.width :], self.generator)
        self.width = layout.width
        return True

    def _renew(self, columns: list[int]) -> None:
        """Forget what was learned for input columns: they carry other features from now on."""
        layout, network = self._model.encoder.layout, self._model.network
        places = to_device(np.array(columns), self._model.device)
        self.parameters.clear_inputs(places)
        self.guard.clear_inputs(places, self.parameters)
        self.replay.clear_columns(places)
        for column in columns:
            network.add_inputs(self.parameters.views, column, [layout.roles[column]], self.generator)

    def _take_steps(self, rows: Rows) -> None:
        """Learn from rows in gradient steps, each with some of the recent past."""
        size = self._options.step_size or len(rows.targets)
        starts = [*range(0, len(rows.targets), size)] * self._passes()
        offsets = self._model.offsets()
        random = np.random.Generator(np.random.PCG64([self._options.seed, self.counters.steps]))
        drawn = random.integers(0, max(len(self.replay), 1), (len(starts), self._replayed))
        for start, picked in zip(starts, drawn, strict=True):
            self.counters.steps += 1
            batch = self._with_past(rows.slice(start, start + size), picked)
            if batch.sparse:
                self.touched.add(batch.sparse.places)
            self._step.take(batch, offsets, self.parameters, self.guard, self.counters.steps)

    def _passes(self) -> int:
        """Return how often to learn from the microbatch: several times at first, while there is all to be learned."""
        if not self._replayed:
            return 1
        return max(1, round(PASSES * (1 - self.counters.steps / PASSES_END)))

    def _with_past(self, rows: Rows, picked: NDArray[np.intp]) -> Rows:
        """Return rows of a step and some of the past; targets as the loss takes them, weights over their number."""
        dense, targets, weights, sparse = rows.dense, rows.targets, rows.weights, rows.sparse
        if len(picked):
            places = to_device(picked, dense.device)
            dense = torch.cat([dense, self.replay.dense.index_select(0, places)])
            targets = torch.cat([targets, self.replay.targets.index_select(0, places)])
            weights = torch.cat([weights, self.replay.weights.index_select(0, places)])
            sparse = sparse.followed_by(self.replay.sparse(picked)) if sparse else None
        if isinstance(self._model.targets, NumberTargets):
            mean, deviation = self._model.targets.scale()
            targets = (targets - mean).mul_(1 / deviation if deviation else 0.0).clamp_(-OUTLIER, OUTLIER).float()
        return Rows(dense, targets, weights / len(weights), sparse, 1 / len(weights))
