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

from models.devices import to_device
from models.examples import Task
from models.expert import Encoded, Space, Tensors
from models.folding import PLAIN, Folding, folded_width
from models.learner import Json
from models.moments import OUTLIER
from models.names import under
from models.relevance import Relevance
from models.self_mixed import SelfMixed
from models.touched import Ranges, Touched

GROUPS = 250  # of rows; of each, one may be a neighbour
CAPACITY = 16 * GROUPS  # rows that are kept
RECENT = 2 * GROUPS  # the last of them, among which neighbours are sought as well
FEW, MORE = 5, 25  # neighbours that vote
COLUMNS = 48  # that distances are measured in: those that have most to do with the target
RENEWED = 256  # rows after which columns' relevance is looked at anew,
RENEWED_EARLY, EARLY = 64, 1_024  # and as long as there were not that many rows
EMPTY = 1e12  # squared length of a row that is not there: no neighbour of any
FOUND = 1e11  # squared distances beyond it are to rows that are not there
NEAR, NEAREST = 0.1, 1e-3  # added to distances, as a share of their mean and as such: no neighbour decides alone
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
        distances = squares.clamp(min=0.0).sqrt_()
        weights = self._ring["weights"][places] * (squares < FOUND)
        targets = self._ring["targets"][places]
        votes = (self._votes(distances, weights, targets, prior, count) for count in (FEW, MORE))
        return [way for found in votes for way in found.unbind(0)]

    def _nearest(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances and places of the nearest rows, shape (2, rows, MORE): of recent and of all rows."""
        ring = self._ring
        # What is read may be mapped memory that somebody writes to: bounded before it is a place.
        used = ring["columns"].clamp(0, columns.shape[1] - 1)
        asked = columns.index_select(1, used) * ring["scales"]
        # The squared distance but for what is the same for all rows.
        relative = torch.addmm(ring["lengths"], asked, ring["rows"].T, alpha=-2.0)
        recent = (ring["next"] - 1 - torch.arange(RECENT, device=columns.device)) % CAPACITY
        nearest, places = _nearest(relative)
        lately, among = _nearest(relative.index_select(1, recent))
        lengths = asked.square().sum(1, keepdim=True)
        return torch.stack([lately, nearest]) + lengths, torch.stack([recent[among], places])

    def _votes(self, distances: Tensor, weights: Tensor, targets: Tensor, prior: Tensor, count: int) -> Tensor:
        """Return what the nearest `count` say, shape (2, rows, outputs)."""
        distances, weights, targets = distances[..., :count], weights[..., :count], targets[..., :count]
        there = (weights > 0).float()
        mean = (distances * there).sum(2, keepdim=True) / there.sum(2, keepdim=True).clamp_(min=1.0)
        votes = weights / (distances + mean * NEAR + NEAREST)
        total = votes.sum(2, keepdim=True).clamp_(min=EMPTY**-1)
        if self._numeric:
            return (votes * targets).sum(2, keepdim=True) / total
        among = votes.new_zeros((*votes.shape[:2], len(prior)))
        among.scatter_add_(2, targets.clamp(0, len(prior) - 1), votes / total)
        # As many equal votes as would say as much.
        worth = total.square() / votes.square().sum(2, keepdim=True).clamp_(min=EMPTY**-2)
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
        written = np.arange(before, self._written)[last] % CAPACITY
        places = to_device(written, self._device)
        self._kept[places] = columns[last]
        ring["targets"][places], ring["weights"][places] = targets[last], weights[last]
        ring["next"].fill_(self._written % CAPACITY)
        every = RENEWED if self._written >= EARLY else RENEWED_EARLY
        if before // every != self._written // every:
            scales, used = self._relevance.scales().topk(len(ring["columns"]))
            ring["columns"], ring["scales"] = used, scales
            self._measure()
        else:
            scaled = columns[last].index_select(1, ring["columns"]) * ring["scales"]
            ring["rows"][places], ring["lengths"][places] = scaled, scaled.square().sum(1)
            self._touched.add(written)

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
        self._ring = under("ring/", tensors)
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


def _nearest(relative: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest of each row and their places, shape (rows, MORE): of each group at most one.

    With so many groups that costs one neighbour or two of the farther ones, and takes a third of the time: the smallest
    of a group are found in one sweep, and only they are sorted.
    """
    groups = relative.view(len(relative), relative.shape[1] // GROUPS, GROUPS)
    _, chosen = groups.amin(1).topk(MORE, largest=False)
    nearest, depths = groups.gather(2, chosen.unsqueeze(1).expand(-1, groups.shape[1], -1)).min(1)
    return nearest, depths * GROUPS + chosen
