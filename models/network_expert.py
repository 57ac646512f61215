"""A network that learns by gradient descent, as an expert: in steps, each of some new rows and some of the recent past.

The network and its loss are the configuration's; parameters, the optimizer's memory, the ring of recent rows and the
guard against steps that must not count are here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.effort import FULL, Cost, Effort
from models.encoder_layout import Role, power_of_two
from models.errors import StateMismatch
from models.examples import Kind, Task
from models.expert import Defaults, Encoded, Space, Tensors
from models.features import TABLE_ROWS
from models.gradient_step import Rows, Step
from models.guard import Guard
from models.latest import Latest
from models.learner import Json, LearnerOptions
from models.losses import create_loss
from models.moments import OUTLIER
from models.names import under
from models.network import Entries, Inputs, Network, Shape, is_small
from models.network_copies import with_copies
from models.network_rates import RateShares, positive, several_rates
from models.optimizers import create_optimizer
from models.parameters import Parameters, named_views, table_rows
from models.replay import CAPACITY, Replay
from models.touched import Ranges, Touched

PASSES = 8  # over the first microbatch, if rows are replayed at all; fewer over the next ones,
PASSES_END = 32_000  # and after so many rows, each counted as often as it was learned as a new one, one


class NetworkExpert(Defaults):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    network
        What is learned.
    options
        How to.
    task
        What is predicted.
    device
        Where to.
    event_clip
        See :class:`models.gradient_step.Step`.

    Attributes
    ----------
    network, parameters, guard, replay, steps
        What is learned, where it is, what looks after it, the ring of recent rows, and how many steps were taken.
    past
        Rows that are kept for more epochs; None but while a history is learned.

    Raises
    ------
    LearnerOptionsInvalid
    """

    def __init__(
        self,
        network: Network,
        options: LearnerOptions,
        task: Task,
        device: torch.device,
        event_clip: float | None = None,
    ) -> None:
        self._options, self._task, self._device = options, task, device
        self.network = network
        self.spare = network.spare
        self.cost = Cost.LITTLE if is_small(network) else Cost.MUCH
        self.table_kinds: Sequence[frozenset[Kind]] = (network.table_kinds,) if network.table_kinds else ()
        # Two classes share one logit where the loss allows it.
        self._single = task is Task.BINARY and options.loss in ("auto", "bce")
        name = next(iter(network.default_rates)) if options.optimizer == "auto" else options.optimizer
        optimizer = create_optimizer(name, options)
        default = network.default_rates[name]
        rates = self._rates(default.rate)
        loss = create_loss(options.loss, task)
        clips = options.gradient_clip, options.chunk_size, event_clip
        self._step = Step(network, loss, optimizer, default.table, *clips)
        self._shares = RateShares.equal(len(rates), device)
        self._sole = RateShares.equal(1, device)
        self._replayed = int(positive("replay", options.replay, network.default_replay, zero=True))
        self.parameters = Parameters(network, optimizer.memories, device, len(rates))
        self.guard = Guard(device, rates)
        self.replay = Replay(device, torch.float32 if task is Task.REGRESSION else torch.int64)
        self._generator = torch.Generator().manual_seed(options.seed)
        self.steps = self.passed = 0
        self._shape = (0, 0)
        self._roles: Sequence[Role] = ()
        self._numbers: list[int] = []
        self._width = 0
        self._touched = Touched()
        self._table: Tensor | None = None
        self._latest = Latest[Tensor]()
        self.past: Replay | None = None
        # The logit of two classes is that of the second one, and against the first one.
        self._signs = torch.tensor([-1.0, 1.0], device=device)

    def _rates(self, default: float) -> list[float]:
        """Return the learning rates of the network's copies."""
        given = self._options.learning_rate
        if given == "auto":
            return several_rates(default) if self.network.side_by_side else [default]
        return [positive("learning_rate", given, default)]

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        network, roles = self.network, space.layout.roles
        self._see(roles)
        needed = 1 if self._single or self._task is Task.REGRESSION else max(space.classes, 2)
        shape = (space.inputs, power_of_two(needed, 1) if network.spare else needed)
        if shape != self._shape:
            self._shape = shape
            self.parameters.grow(network.shapes(*shape), self._generator)
        columns = network.table_width(shape[1])
        if columns and any(key.kind in network.table_kinds for key in space.layout.features()):
            self.parameters.grow_table(table_rows(TABLE_ROWS, columns), columns, self._generator)
            self._table = None if self.parameters.table is None else self.parameters.table[0]
        if self._width < len(roles):
            network.add_inputs(self.parameters.views, self._width, roles[self._width :], self._generator)
            self._width = len(roles)

    def _see(self, roles: Sequence[Role]) -> None:
        """Note what the input columns carry."""
        self._roles = roles
        self._numbers = [column for column, role in enumerate(roles) if role is Role.NUMBER]
        self.network.see(self._numbers, self._device)

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:  # noqa: ARG002 - it sees no raw columns
        """See :class:`models.expert.Expert`: new features begin without what was learned for those before them."""
        self._see(self._roles)
        columns = np.array(inputs, np.int64)
        self.parameters.clear_inputs(columns)
        self.guard.clear_inputs(columns, self.parameters)
        for ring in self._rings():
            ring.clear_columns(to_device(columns, self._device))
        for column in inputs:
            self.network.add_inputs(self.parameters.views, column, [self._roles[column]], self._generator)

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`: the rows that are learned again are in the new units from now on."""
        for ring in self._rings():
            ring.rescale(factor, shift)

    def _rings(self) -> list[Replay]:
        """Return what rows are kept in."""
        return [self.replay] if self.past is None else [self.replay, self.past]

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        each = self._answers(rows, prior)
        shares = self._shares if self.parameters.alone is None else self._sole
        mixed = shares.mixed(each, probabilities=self._task is not Task.REGRESSION)
        self._latest.keep(mixed, each)
        return mixed

    def _answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """Return what each copy answers, probabilities or values, float32, shape (copies, rows, columns)."""
        outputs = self._outputs(rows)
        if self._task is Task.REGRESSION:
            return outputs[..., :1]
        if not self._single:
            return (outputs[..., : len(prior)] + prior).softmax(2)
        if prior.shape[0] < 2:
            return torch.ones_like(outputs[..., :1])
        # A softmax over two columns takes six times as long.
        return ((outputs[..., :1] + (prior[1:] - prior[:1])) * self._signs).sigmoid_()

    def unmixed(self, rows: Encoded, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of what is mixed, each row's up to a constant, or values; and shares, which sum to 1."""
        outputs, shares = self._outputs(rows), self._shares if self.parameters.alone is None else self._sole
        if self._single:
            outputs = torch.cat([torch.zeros_like(outputs[..., :1]), outputs[..., :1]], 2)
        each = outputs[..., :1] if self._task is Task.REGRESSION else outputs[..., : len(prior)] + prior
        return each, shares.shares.softmax(0)

    def _outputs(self, rows: Encoded) -> Tensor:
        """Return what the network makes of rows, float32, shape (copies, rows, outputs)."""
        inputs, table = Inputs(rows.dense), self._table
        sparse = rows.sparse.get(self.network.table_kinds)
        if table is not None and sparse is not None and len(sparse.places):
            entries = Entries.of(sparse, len(table), self._device)
            block = table.index_select(0, entries.places)[:, self.parameters.learning]
            inputs = Inputs(rows.dense, entries, block)
        return self.network.outputs(inputs)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        latest = self._latest.take(answered)
        sparse = None if self.parameters.table is None else rows.sparse.get(self.network.table_kinds)
        if self._task is Task.REGRESSION:
            targets = targets.clamp(-OUTLIER, OUTLIER)
        if self._shares.shares.shape[0] > 1 and self.parameters.alone is None:
            # No copy has learned these rows yet, so it is still what they would have answered.
            each = self._answers(rows, prior) if latest is None else latest
            self._shares.learn(each, targets, weights)
        self._rest(rows.effort)
        given = Rows(rows.dense, targets, weights, sparse)
        if self.past is not None:
            self.past.add(given.dense, given.targets, given.weights, sparse)
        if not rows.effort.replay * self._replayed:
            if self._replayed:  # what is not replayed now may be later
                self.replay.add(given.dense, given.targets, given.weights, sparse)
            self._take_steps(given, self._offsets(prior), rows.effort)
            return
        # A microbatch larger than the ring, which its rows are learned from, comes in pieces.
        for piece in given.chunks(CAPACITY):
            self.replay.add(piece.dense, piece.targets, piece.weights, piece.sparse)
            self._take_steps(piece, self._offsets(prior), rows.effort)

    def _rest(self, effort: Effort) -> None:
        """Have all copies rest but the one that is heeded most, or go on from what it knows, as an effort says.

        Which one is asked of the device, when the effort changes.
        """
        parameters, together = self.parameters, self._shares.shares.shape[0] == 1 or bool(self.network.buffers())
        if effort.copies and parameters.alone is not None:
            parameters.wake()
            self._shares.heed()
            self._touched.add_all()
        elif not effort.copies and not together and parameters.alone is None:
            best = self._shares.best()
            parameters.rest(best)
            self._shares.heed(best)

    def _offsets(self, prior: Tensor) -> Tensor:
        """Return what outputs are relative to, shape (outputs in use,)."""
        if not self._single:
            return prior
        return prior[1:] - prior[:1] if len(prior) > 1 else torch.zeros(1, device=self._device)

    def _take_steps(self, rows: Rows, offsets: Tensor, effort: Effort) -> None:
        """Learn from rows, the latest in the ring if there is one, in gradient steps, each with some of the past."""
        count = rows.targets.shape[0]
        size = effort.gradient_step * self._options.step_size or count
        replayed = int(effort.replay * self._replayed)
        starts = [*range(0, count, size)] * (self._passes() if effort is FULL else 1)
        latest = self.replay.latest(count)
        random = np.random.Generator(np.random.PCG64([self._options.seed, self.steps]))
        drawn = random.integers(0, max(len(self.replay), 1), (len(starts), replayed))
        for start, picked in zip(starts, drawn, strict=True):
            self.steps += 1
            if len(picked):
                places = np.concatenate([latest[start : start + size], picked])
                batch = self._kept_in(self.replay, places, with_strings=rows.sparse is not None)
            else:
                batch = rows.slice(start, start + size)
            self._take_step(batch, offsets, replayed)

    def _take_step(self, batch: Rows, offsets: Tensor, replayed: int) -> None:
        """Take a gradient step, the one of the number that was counted; so many of its rows are replayed."""
        if batch.sparse:
            self._touched.add(batch.sparse.places)
        rows = batch.targets.shape[0]
        self.passed += rows - replayed
        batch = Rows(batch.dense, batch.targets, batch.weights / rows, batch.sparse, 1 / rows)
        self._step.take(batch, offsets, self.parameters, self.guard, self.steps)

    def keep_past(self, rows: int) -> None:
        """Keep the last so many rows that are learned from now on in `past`, for :meth:`rehearse`.

        They are kept as they were encoded when they were new: statistics of the target know nothing of their own row.
        They are in no state.
        """
        self.past = Replay(self._device, torch.float32 if self._task is Task.REGRESSION else torch.int64, rows)

    def rehearse(self, past: Replay, prior: Tensor) -> None:
        """Go once more through rows that were kept, in random order: gradient steps, and nothing else.

        Which copy is heeded does not change: none of them would be told by rows that it knows.
        """
        random = np.random.Generator(np.random.PCG64([self._options.seed, self.steps, len(past)]))
        size = (self._options.step_size or CAPACITY) + self._replayed
        offsets, with_strings = self._offsets(prior), self.parameters.table is not None
        order = random.permutation(len(past))
        for start in range(0, len(past), size):
            self.steps += 1
            self._take_step(
                self._kept_in(past, order[start : start + size], with_strings=with_strings), offsets, self._replayed
            )

    def _passes(self) -> int:
        """Return how often to learn from the microbatch: several times at first, while there is all to be learned."""
        if not self._replayed:
            return 1
        return max(1, round(PASSES * (1 - self.passed / PASSES_END)))

    def _kept_in(self, ring: Replay, places: NDArray[np.intp], *, with_strings: bool) -> Rows:
        """Return rows from their places in a ring."""
        there = to_device(places, self._device)
        dense, targets, weights = (kept.index_select(0, there) for kept in (ring.dense, ring.targets, ring.weights))
        return Rows(dense, targets, weights, ring.sparse(places) if with_strings else None)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        tensors = self._beside()
        if self.parameters.shapes:
            tensors["network/parameters"] = self.parameters.block[0]
        if self.parameters.table is not None:
            tensors["table/parameters"] = self.parameters.table[0]
        return tensors | {"rates/shares": self._shares.shares}

    def _beside(self) -> dict[str, Tensor]:
        """Return what the network has beside parameters."""
        parts = {"buffers": self.network.buffers(), "frozen": self.network.frozen()}
        return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: everything but what is frozen, and rows of the table that nobody met."""
        unchanged: dict[str, Ranges] = {f"frozen/{name}": [] for name in self.network.frozen()}
        table = self.parameters.table
        if table is None:
            return unchanged
        return unchanged | {"table/parameters": self._touched.take((table.shape[1], table[0, 0].numel()))}

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return {"shape": list(self._shape), "numbers": self._numbers}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`."""
        inputs, outputs = description["shape"]
        shapes: dict[str, Shape] = self.network.shapes(inputs, outputs) if inputs else {}
        if shapes:
            self._shares = RateShares(tensors["rates/shares"])
            views = named_views(tensors["network/parameters"], shapes)
            self.network.bind(views, None, under("buffers/", tensors), under("frozen/", tensors))
        self.network.see(description["numbers"], self._device)
        self._table = tensors.get("table/parameters")

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        tensors = {"network/block": self.parameters.block, "network/generator": self._generator.get_state()}
        tensors |= self._beside()
        if self.parameters.table is not None:
            tensors["table/block"] = self.parameters.table
        tensors["rates/shares"] = self._shares.shares
        tensors |= {f"replay/{name}": tensor for name, tensor in self.replay.state().items()}
        tensors |= {f"guard/{name}": tensor for name, tensor in self.guard.state().items()}
        alone = self.parameters.alone
        return {"shape": list(self._shape), "steps": self.steps, "passed": self.passed, "alone": alone}, tensors

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`.

        Raises
        ------
        StateMismatch
            It is of a network with other parameters.
        """
        self.steps, self.passed = meta["steps"], meta["passed"]
        copies, alone = len(self.guard.rates), meta.get("alone")
        if alone is not None and len(tensors["rates/shares"]) == copies:
            self.parameters.learning = slice(alone, alone + 1)
        tensors = with_copies(tensors, copies)
        inputs, outputs = self._shape = (meta["shape"][0], meta["shape"][1])
        self._see(space.layout.roles)
        self._width = len(space.layout.roles)
        shapes = self.network.shapes(inputs, outputs) if inputs else {}
        learned, saved = sum(map(math.prod, shapes.values())), tensors["network/block"].shape[2]
        if learned != saved:
            raise StateMismatch(
                f"{saved} parameters were saved, and {learned} of the network learn: is it another one, or are other "
                "parts of it frozen? Set that back, or start the model anew"
            )
        self.parameters.adopt(shapes, tensors["network/block"])
        self._shares = RateShares(tensors["rates/shares"])
        self._generator.set_state(tensors["network/generator"].cpu())
        for name, tensor in self._beside().items():
            tensor.copy_(tensors[name])
        self.parameters.table = tensors.get("table/block")
        self._table = None if self.parameters.table is None else self.parameters.table[0]
        self.replay.restore(under("replay/", tensors))
        self.guard.restore(under("guard/", tensors))

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [self.parameters.block, *self.network.buffers().values()]

    def look_back(self) -> None:
        """See :meth:`models.guard.Guard.look`."""
        self.guard.look(self.parameters)
        self._touched.add_all()

    def reports(self) -> dict[str, float]:
        """See :class:`models.expert.Expert`."""
        return self.guard.reports()
