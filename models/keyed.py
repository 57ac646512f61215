"""One small model for each value of a key, beside a shared one: what ``models.NAME.key`` means.

The shared expert, of whichever kind the configuration names, learns all rows as if there were no key, and is what a new
key begins with. To its answer each key adds what it has learned of its own rows (``keyed_solutions.py``), in values for
numbers and in logarithms of odds for classes. The shared answer and the corrected ones are mixed by how right they have
been (``mixing.py``), so a key that tells nothing costs no more than time.

Keys have slots (``keyed_table.py``); those that were not met for the longest time are spilled when there are too many,
and brought back when they are next learned (``keyed_spill.py``). Until then a spilled key is answered as a new one is,
by the shared expert, in the trainer as in serving processes, which know only what is published.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from models.devices import to_device
from models.encoder_layout import HASHED, NONE, Layout, Role
from models.examples import Task
from models.expert import Encoded, Expert, Space, Tensors
from models.keyed_hashes import NO_KEY
from models.keyed_residence import Residence
from models.keyed_solutions import MEMORIES, KeySolutions
from models.keyed_waves import yield_waves
from models.latest import Latest
from models.learner import Json, LearnerOptions
from models.mixing import Mixing
from models.mixing_classes import widened
from models.names import beneath, under
from models.touched import Ranges, Touched

COLUMNS = 16
"""Columns that a key has weights for, the constant included: its sums take the square of them."""

MOST_CLASSES = 32
"""Classes that a key has weights for, those that appeared first; of others the shared expert alone answers."""

GRAIN = 4  # keys whose weights are published together
SHARED = "shared."  # begins the names of what is the shared expert's


class Keyed:
    """See :class:`models.expert.Expert`, and the module.

    Parameters
    ----------
    shared
        What answers and learns without a key.
    options
        Of the learner: how many keys there may be, and its loss.
    task
        What is predicted.
    device
        Where to compute.
    folder
        On whose disk keys are spilled; None: where the system has temporary files.

    Attributes
    ----------
    residence
        What is kept on the host: which keys there are, and where.
    """

    def __init__(
        self, shared: Expert, options: LearnerOptions, task: Task, device: torch.device, folder: Path | None = None
    ) -> None:
        self._shared = shared
        self.table_kinds, self.uses_raw = shared.table_kinds, shared.uses_raw
        self.cost, self.spare = shared.cost, shared.spare
        self._device, self._numeric = device, task is Task.REGRESSION
        self._solutions = KeySolutions(device, numeric=self._numeric)
        self.residence = Residence(options.keys, options.spilled_keys, self._solutions, folder)
        self._mixing = Mixing(1 + len(MEMORIES), task, options.loss, device)
        self._columns: list[int] = []
        self._places = torch.zeros(0, dtype=torch.int64, device=device)
        self._prior: Tensor | None = None
        self._latest = Latest[tuple[Tensor, Tensor, Tensor]]()
        self._touched = Touched(GRAIN)
        self._mapped = False

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.grow(space)
        self._choose_columns(space.layout)
        outputs = 1 if self._numeric else min(space.classes, MOST_CLASSES)
        self._solutions.grow(self.residence.table.capacity, 1 + len(self._columns), outputs)

    def _choose_columns(self, layout: Layout) -> None:
        """Take more of the input's columns, while there is room: numbers and estimates, as they come."""
        hashed = range(layout.hashed, layout.hashed + HASHED) if layout.hashed != NONE else range(0)
        known = set(self._columns)
        for column, role in enumerate(layout.roles):
            if len(self._columns) + 1 == COLUMNS:
                break
            if role is not Role.MARK and column not in hashed and column not in known:
                self._columns.append(column)
        self._places = torch.tensor(self._columns, dtype=torch.int64, device=self._device)

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.renew(inputs, raws)
        mine = [1 + place for place, column in enumerate(self._columns) if column in set(inputs)]
        if mine:
            self.residence.renew(mine)
            self._touched.add_all()

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.rescale(factor, shift)
        self._mixing.rescale(factor)
        self.residence.rescale(factor)
        self._touched.add_all()

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        slots = self._slots(rows)
        shared, ways = self._ways(rows, slots, prior)
        # Without a key nothing is added, and nothing is to be weighed.
        mixed = torch.where((slots >= 0).unsqueeze(1), self._mixing.answer(ways), shared)
        if not self._mapped:
            self._latest.keep(mixed, (shared, ways, slots))
        return mixed

    def _slots(self, rows: Encoded) -> Tensor:
        """Return the slot of each row's key, negative where it has none."""
        return to_device(self.residence.table.index.find(_keys_of(rows)), self._device)

    def _inputs(self, rows: Encoded) -> Tensor:
        """Return what keys have weights for: a constant and some columns, shape (rows, 1 + columns)."""
        return pad(rows.dense.index_select(1, self._places), (1, 0), value=1.0)

    def _ways(self, rows: Encoded, slots: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shared answer as it is, and it and the corrected ones, shape (rows, 1 + solutions, outputs)."""
        shared = self._shared.answers(rows, prior)
        clean = self._mixing.blend.clean([shared], prior)
        added = self._solutions.answer(slots, self._inputs(rows))
        corrected = clean + pad(added, (0, clean.shape[2] - added.shape[2]))
        if not self._numeric:
            corrected = corrected.log_softmax(2)
        return shared, self._mixing.blend.clean([clean[:, 0], *corrected.unbind(1)], prior)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        before, self._prior = widened(self._prior, prior), prior
        latest = self._latest.take(answered)
        shared: Tensor | None = None
        if latest is not None:
            shared, ways, slots = latest
        else:
            slots = self._slots(rows)
            _, ways = self._ways(rows, slots, before)
        # How to weigh is learned where there is something to weigh.
        self._mixing.learn(ways, targets, weights * (slots >= 0), rows.effort.step)
        self._shared.learn(rows, targets, weights, prior, shared)
        outputs = self._solutions.weights.shape[3]
        base, counted = ways[:, 0], weights
        if not self._numeric and base.shape[1] > outputs:  # keys have no weights for the other classes
            base, counted, targets = base[:, :outputs], weights * (targets < outputs), targets.clamp(max=outputs - 1)
        inputs = self._inputs(rows)
        for places in self.residence.yield_seated(_keys_of(rows)):
            for wave in yield_waves(places):
                self._touched.add(wave.slots)
                self._solutions.learn(wave, inputs, base, targets, counted)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        index = {name: torch.from_numpy(array) for name, array in self.residence.table.index.arrays().items()}
        own = {"weights": self._solutions.weights, **beneath("index.", index)}
        return {**own, **beneath("mixing.", self._mixing.published()), **beneath(SHARED, self._shared.published())}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: of keys, those that were learned."""
        weights, found = self._solutions.weights, self.residence.table.changed()
        own = self._touched.take((len(weights), weights[:1].numel() or 1))
        return {
            "weights": own,
            "index.hashes": found,
            "index.slots": found,
            **beneath(SHARED, self._shared.changed()),
        }

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return {"shared": self._shared.describe(), "columns": self._columns}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.attach(description["shared"], under(SHARED, tensors))
        self._mixing.attach(under("mixing.", tensors))
        self._solutions.weights, self._mapped = tensors["weights"], True
        self._columns = list(description["columns"])
        self._places = torch.tensor(self._columns, dtype=torch.int64, device=self._device)
        index = {name: tensor.numpy() for name, tensor in under("index.", tensors).items()}
        self.residence.table.index.attach(index)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`; what is on the host is beside it, in :attr:`residence`."""
        shared, tensors = self._shared.state()
        own = {**self._solutions.state(), **beneath("mixing.", self._mixing.state())}
        if self._prior is not None:
            own["prior"] = self._prior
        meta = {"shared": shared, "columns": self._columns, "rows": self._mixing.rows}
        return meta, {**beneath("keyed/", own), **beneath(SHARED, tensors)}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.restore(meta["shared"], under(SHARED, tensors), space)
        own = under("keyed/", tensors)
        self._solutions.restore(own)
        self._mixing.restore(under("mixing.", own), meta["rows"])
        self._prior = own.get("prior")
        self._latest.forget()
        self._columns = list(meta["columns"])
        self._places = torch.tensor(self._columns, dtype=torch.int64, device=self._device)
        self._touched.add_all()

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [self._solutions.weights, *self._mixing.held(), *self._shared.held()]

    def look_back(self) -> None:
        """See :class:`models.expert.Expert`."""
        self._shared.look_back()

    def reports(self) -> dict[str, float]:
        """See :class:`models.expert.Expert`: those of the shared one, what share keys have in answers, and counts."""
        worth = self._mixing.worth().tolist()
        counts = {f"{name}.keys": float(count) for name, count in self.residence.counts().items()}
        return {**self._shared.reports(), "weight.keys": sum(worth[1:]), **counts}


def _keys_of(rows: Encoded) -> NDArray[np.int64]:
    """Return the keys of rows."""
    return np.full(len(rows), NO_KEY) if rows.keys is None else rows.keys
