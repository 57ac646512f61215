"""Naive Bayes over hashed strings: an expert that knows a word as soon as it was met once. ``learner.kind: bayes``.

Counts how often each category and token came with each class, and takes them for independent of one another given the
class (multinomial naive Bayes; McCallum and Nigam 1998). That is wrong, so it is far too sure of what it answers, but
it needs no learning rate and no second look. Beside networks, whose steps are small, it is worth most while words are
still new; the mixture (``mixture.py``) mends how sure it is. For numbers as targets it knows nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from models.effort import Cost
from models.encoder_layout import power_of_two
from models.examples import Kind, Task
from models.expert import Defaults, Encoded, Space, Tensors
from models.features import TABLE_ROWS
from models.learner import Json
from models.network import Entries
from models.parameters import table_rows
from models.touched import Ranges, Touched

KINDS = frozenset({Kind.CATEGORY, Kind.TOKENS})
LEAST_CLASSES = 2

ONCE = 0.1  # times that each string is taken to have been met with each class before it was met at all,
VOCABULARY = 500  # and how many strings there are to have been met so


class NaiveBayes(Defaults):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    task
        What is predicted.
    device
        Where to.
    """

    cost = Cost.LITTLE

    def __init__(self, task: Task, device: torch.device) -> None:
        self._device = device
        self.table_kinds: Sequence[frozenset[Kind]] = () if task is Task.REGRESSION else (KINDS,)
        # How often each string was met with each class, and how many strings were met with each class.
        self._counts: Tensor | None = None
        self._totals = torch.zeros(LEAST_CLASSES, device=device)
        self._touched = Touched()

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        width = power_of_two(space.classes, LEAST_CLASSES)
        if not self.table_kinds or not space.layout.strings:
            return
        rows = table_rows(TABLE_ROWS, width)
        if self._counts is None:
            self._counts = torch.zeros((rows, width), device=self._device)
            self._touched.add_all()
        elif self._counts.shape[1] < width:
            # A smaller table has the strings of places that fall together in one.
            folded = self._counts.view(-1, rows, self._counts.shape[1]).sum(0)
            self._counts = pad(folded, (0, width - folded.shape[1]))
            self._touched.add_all()
        self._totals = pad(self._totals, (0, self._counts.shape[1] - len(self._totals)))

    def _entries(self, rows: Encoded) -> Entries | None:
        """Return the strings of rows as places in the table; None where there are none."""
        sparse = rows.sparse.get(KINDS)
        if self._counts is None or sparse is None or not len(sparse.places):
            return None
        return Entries.of(sparse, len(self._counts), self._device)

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        entries = self._entries(rows)
        if entries is None or self._counts is None:
            return prior.expand(len(rows), -1)
        met = self._counts.index_select(0, entries.places)[:, : len(prior)]
        likely = ((met + ONCE) / (self._totals[: len(prior)] + ONCE * VOCABULARY)).log_()
        return (entries.sum_by_row(likely.unsqueeze(1))[0] + prior).log_softmax(1)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - counts are all there is
        """See :class:`models.expert.Expert`."""
        entries = self._entries(rows)
        if entries is None or self._counts is None:
            return
        classes = one_hot(targets, self._counts.shape[1]) * weights.unsqueeze(1)
        met = entries.sum_by_place(classes.unsqueeze(0))[:, 0]
        self._counts.index_add_(0, entries.places, met)  # no place is there twice, so the order makes no difference
        self._totals = self._totals + met.sum(0)
        self._touched.add(rows.sparse[KINDS].places)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return {} if self._counts is None else {"counts": self._counts, "totals": self._totals}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: only the rows that were met."""
        return {} if self._counts is None else {"counts": self._touched.take(tuple(self._counts.shape))}

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return {}

    def attach(self, description: Json, tensors: Tensors) -> None:  # noqa: ARG002 - there is nothing to describe
        """See :class:`models.expert.Expert`."""
        self._counts = tensors.get("counts")
        self._totals = tensors.get("totals", self._totals)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        held = {"table/counts": self._counts, "totals/totals": self._totals}
        return {}, {name: tensor for name, tensor in held.items() if tensor is not None}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:  # noqa: ARG002 - tensors are all there is
        """See :class:`models.expert.Expert`."""
        self._counts, self._totals = tensors.get("table/counts"), tensors["totals/totals"]
        self._touched.add_all()

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [self._totals] if self._counts is None else [self._counts, self._totals]
