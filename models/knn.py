"""The nearest neighbours among the last rows as an expert: nothing is fitted, so what is new counts at once.

Votes by distance (Dudani 1976) of few and of more neighbours, among the last rows and among more of them, are mixed and
calibrated as experts are. How many neighbours and how far back is best differs by stream and by time (self-adjusting
memory: Losing, Hammer and Wersing 2016). Distances are measured by columns' relevance (``relevance.py``), in those that
are most relevant, and all of them are one matrix product.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from models.examples import Task
from models.expert import Encoded, Space, Tensors
from models.folding import PLAIN, Folding, folded_width
from models.learner import Json
from models.moments import OUTLIER
from models.names import under
from models.relevance import Relevance
from models.self_mixed import SelfMixed
from models.touched import Ranges, Touched

GROUPS = 32  # of rows, those whose places are alike modulo it; of each, the nearest is a neighbour
LAYERS = 125  # rows of a group
CAPACITY = GROUPS * LAYERS  # rows that are kept
RECENT = 16 * GROUPS  # the last of them, among which neighbours are sought as well
AT_ONCE = 128  # rows whose distances are measured at once: what that needs stays in a processor's cache
LAYER_BITS = 7  # of a distance: they tell the row's layer instead; what remains of it is right to 1 in 65,536
FEW, MORE = 6.0, 1.0  # powers of distances that votes fall with: so that few neighbours decide, or more
COLUMNS = 48  # that distances are measured in: those that have most to do with the target
RENEWED = 1_024  # rows after which columns' relevance is looked at anew,
RENEWED_EARLY, EARLY = 64, 1_024  # and as long as there were not that many rows
EMPTY = 1e12  # squared length of a row that is not there: no neighbour of any
FOUND = 1e11  # squared distances beyond it are to rows that are not there
NEAR, NEAREST = 0.1, 1e-3  # added to distances, as a share of their mean and as such: no neighbour decides alone
SMALLEST = 1e-30  # sum of votes that is not divided by
PRIOR = 1.0  # neighbours that the prior counts as much as


class NearestNeighbours(SelfMixed):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`: what its votes are mixed for.
    device
        Where to compute.
    """

    def __init__(self, task: Task, loss: str, device: torch.device) -> None:
        super().__init__(4, task, loss, device)  # few and more neighbours, of recent and of all rows
        self._outputs = int(self._numeric)
        self._folding = Folding()
        self._relevance = Relevance(device, numeric=self._numeric)
        self._touched = Touched()
        self._written = 0
        self._mapped = False
        self._kept = torch.zeros((CAPACITY, 0), device=device)
        targets = torch.float32 if self._numeric else torch.int64
        self._ring: dict[str, Tensor] = {
            "rows": torch.zeros((CAPACITY, 0), device=device),
            "lengths": torch.full((CAPACITY,), EMPTY, device=device),
            "targets": torch.zeros(CAPACITY, dtype=targets, device=device),
            "weights": torch.zeros(CAPACITY, device=device),
            "columns": torch.zeros(0, dtype=torch.int64, device=device),
            "scales": torch.zeros(0, device=device),
            "next": torch.zeros(1, dtype=torch.int64, device=device),
        }

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`: columns that come later count nothing until relevance is renewed."""
        ring, columns = self._ring, folded_width(space.inputs)
        self._outputs = space.outputs
        self._relevance.grow(columns, space.outputs)
        held = self._kept.shape[1]
        if columns > held:
            self._kept = pad(self._kept, (0, columns - held))
            used = ring["rows"].shape[1]
            more = min(columns, COLUMNS) - used
            new = torch.arange(used, used + more, device=self._device)
            ring |= {
                "rows": pad(ring["rows"], (0, more)),
                "columns": torch.cat([ring["columns"], new]),
                "scales": pad(ring["scales"], (0, more), value=0.0 if self._written else 1.0),
            }
            self._touched.add_all()

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:  # noqa: ARG002 - it sees no raw columns
        """See :class:`models.expert.Expert`."""
        plain = [column for column in inputs if column < PLAIN]
        if plain:
            places = torch.tensor(plain, device=self._device)
            self._kept.index_fill_(1, places, 0.0)
            self._relevance.clear(places)
            self._measure()

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        self._ring["targets"].mul_(factor).add_(shift)
        self._relevance.rescale(factor, shift)
        self._mixing.rescale(factor)
        self._touched.add_all()

    def _ways(self, dense: Tensor, prior: Tensor) -> list[Tensor]:
        """See :class:`models.self_mixed.SelfMixed`."""
        squares, places = self._nearest(self._folding(dense))
        there = (squares < FOUND).float()
        flat = places.view(-1)
        weights = self._ring["weights"].index_select(0, flat).view_as(there) * there
        targets = self._ring["targets"].index_select(0, flat).view_as(there)
        return list(self._votes(squares.sqrt_(), there, weights, targets, prior).unbind(0))

    def _nearest(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances and places of near rows, shape (2, rows, GROUPS): of recent and of all rows.

        They are the nearest of each group. That loses one or two of the few nearest and more of those after them, but
        nothing has to be sorted, which would take longer than all else.
        """
        ring = self._ring
        # What is read may be mapped memory that somebody writes to: bounded before it is a place.
        used = ring["columns"].clamp(0, columns.shape[1] - 1)
        asked = columns.index_select(1, used) * ring["scales"]
        after = int(ring["next"]) % CAPACITY if self._mapped else self._written % CAPACITY
        found = [self._nearest_of(part, after) for part in torch.split(asked, AT_ONCE)]
        packed = found[0] if len(found) == 1 else torch.cat(found, 1)
        # Recent rows' groups begin wherever the last one is: see the columns in :meth:`_nearest_of`.
        groups = torch.arange(GROUPS, dtype=torch.int32, device=columns.device)
        groups = torch.stack([(groups + after) % GROUPS, groups]).unsqueeze(1)
        places = (packed & (1 << LAYER_BITS) - 1).clamp_(max=LAYERS - 1).mul_(GROUPS).add_(groups)
        return (packed & -1 << LAYER_BITS).view(torch.float32), places

    def _nearest_of(self, asked: Tensor, after: int) -> Tensor:
        """Return squared distances of near rows, int32, shape (2, rows, GROUPS): their bits, the last ones the layer.

        Bits of floats that are not negative are in the order of the floats. So the smallest of a group is found
        together with where it is, in one sweep.
        """
        ring, count = self._ring, len(asked)
        squares = torch.addmm(ring["lengths"], asked, ring["rows"].T, alpha=-2.0)
        squares.add_(asked.square().sum(1, keepdim=True)).clamp_(min=0.0)
        layers = torch.arange(LAYERS, dtype=torch.int32, device=asked.device).unsqueeze(1)
        bits = squares.view(torch.int32).view(count, LAYERS, GROUPS)
        bits = bits.bitwise_and_(-1 << LAYER_BITS).bitwise_or_(layers)
        flat, first = bits.view(count, CAPACITY), after - RECENT
        recent = flat[:, first:after] if first >= 0 else torch.cat([flat[:, first:], flat[:, :after]], 1)
        return torch.stack([recent.reshape(count, RECENT // GROUPS, GROUPS).amin(1), bits.amin(1)])

    def _votes(self, distances: Tensor, there: Tensor, weights: Tensor, targets: Tensor, prior: Tensor) -> Tensor:
        """Return what neighbours say, shape (4, rows, outputs): recent ones and all, by one power and by the other."""
        mean = (distances * there).sum(2, keepdim=True) / there.sum(2, keepdim=True).clamp_(min=1.0)
        near = (mean * NEAR + NEAREST).add(distances)
        near = near.amin(2, keepdim=True) / near
        votes = torch.cat([near.pow(power).mul_(weights) for power in (FEW, MORE)])
        total = votes.sum(2, keepdim=True).clamp_(min=SMALLEST)
        shares, targets = votes / total, targets.repeat(2, 1, 1)
        if self._numeric:
            return (shares * targets).sum(2, keepdim=True)
        among = votes.new_zeros((*votes.shape[:2], len(prior)))
        among.scatter_add_(2, targets.clamp_(0, len(prior) - 1), shares)
        # As many equal votes as would say as much.
        worth = shares.square().sum(2, keepdim=True).clamp_(min=SMALLEST).reciprocal_() * (total > SMALLEST)
        return among.mul_(worth).add_(prior.exp() * PRIOR).div_(worth + PRIOR).log_()

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        before = self._before(rows, prior, answered)
        if self._numeric:
            targets = targets.clamp(-OUTLIER, OUTLIER)
        self._mixing.learn(before, targets, weights)
        columns = self._folding(rows.dense)
        wanted = targets.unsqueeze(1) if self._numeric else one_hot(targets, self._outputs).float()
        self._relevance.add(columns, wanted, weights)
        self._keep(columns, targets, weights)

    def _keep(self, columns: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Keep rows in place of the oldest; of more than fit, the last."""
        ring, before = self._ring, self._written
        self._written += len(targets)
        last = slice(max(len(targets) - CAPACITY, 0), None)
        first = self._written - len(targets[last])
        _write(self._kept, first, columns[last])
        _write(ring["targets"], first, targets[last])
        _write(ring["weights"], first, weights[last])
        ring["next"].fill_(self._written % CAPACITY)
        every = RENEWED if self._written >= EARLY else RENEWED_EARLY
        if before // every != self._written // every:
            scales, used = self._relevance.scales().topk(len(ring["columns"]))
            ring["columns"], ring["scales"] = used, scales
            self._measure()
        else:
            scaled = columns[last].index_select(1, ring["columns"]) * ring["scales"]
            _write(ring["rows"], first, scaled)
            _write(ring["lengths"], first, scaled.square().sum(1))
            self._touched.add(np.arange(first, self._written) % CAPACITY)

    def _measure(self) -> None:
        """Scale all rows that are kept."""
        ring = self._ring
        ring["rows"] = self._kept.index_select(1, ring["columns"]) * ring["scales"]
        lengths = ring["rows"].square().sum(1)
        lengths[self._written :] = EMPTY
        ring["lengths"] = lengths
        self._touched.add_all()

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return {f"ring/{name}": tensor for name, tensor in self._ring.items()} | self._mixing_published()

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: of the ring, what was written."""
        written = self._touched.take((CAPACITY, 1))
        wide = self._ring["rows"].shape[1]
        found: dict[str, Ranges] = {f"ring/{name}": written for name in ("lengths", "targets", "weights")}
        found["ring/rows"] = [(start * wide, stop * wide) for start, stop in written]
        return found

    def attach(self, description: Json, tensors: Tensors) -> None:  # noqa: ARG002 - shapes say it all
        """See :class:`models.expert.Expert`."""
        self._ring, self._mapped = under("ring/", tensors), True
        self._mixing.attach(under("mixing/", tensors))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        parts = {"ring": {**self._ring, "kept": self._kept}, "relevance": self._relevance.state()}
        tensors = {f"{part}/{name}": tensor for part, found in parts.items() for name, tensor in found.items()}
        return {"written": self._written, "mixing": self._mixing.rows}, tensors | self._mixing_state()

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._outputs, self._written = space.outputs, meta["written"]
        self._relevance.restore(under("relevance/", tensors))
        self._ring = under("ring/", tensors)
        self._kept = self._ring.pop("kept")
        self._restore_mixing(meta["mixing"], tensors)
        self._touched.add_all()

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        floating = [tensor for tensor in self._ring.values() if tensor.is_floating_point()]
        return [*floating, *self._relevance.state().values(), *self._mixing.held()]


def _write(ring: Tensor, first: int, rows: Tensor) -> None:
    """Write rows to a ring, the first of them being that row of the stream."""
    start = first % len(ring)
    fitting = min(len(rows), len(ring) - start)
    ring[start : start + fitting] = rows[:fitting]
    if fitting < len(rows):
        ring[: len(rows) - fitting] = rows[fitting:]
