"""Prequential evaluation: how good the predictions were that were made before their labels were learned.

A learner hands :class:`Prequential` the predictions of each microbatch, made by the parameters as they were before it,
together with the labels. Nothing here waits for the device until :meth:`Prequential.scores` is called. An update only
keeps what it was given, until there are rows for a block, or somebody asks: scoring many rows costs little more than
scoring few. Then they go into a ring on the device; each time that a block of it is full, it is folded into the totals
of the whole stream. So the totals depend neither on how the stream was cut nor on when it was asked.

An answer that was given before any label was learned is no prediction, and is not scored, neither a learner's nor a
baseline's: nobody had anything to go by, and who is asked first would decide. How many rows are scored is said.
What is summed, and what it means, is in ``evaluation_classes.py`` and ``evaluation_numbers.py``.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.errors import StateMismatch
from models.evaluation_classes import ClassTally, Cuts
from models.evaluation_numbers import NumberTally
from models.examples import Task
from models.learner import Array, Json

SCHEMA = 2
BLOCK = 1024  # rows folded at once: many enough that an update rarely pays for it, few enough for small windows


class _Given(NamedTuple):
    """What :meth:`Prequential.update` was given, on the device; and the weights to score by."""

    predictions: Tensor
    targets: Tensor
    weights: Tensor
    losses: Tensor | None
    scored: Tensor

    def part(self, start: int, stop: int) -> "_Given":
        """Return rows `start` to `stop`."""
        rows, losses = slice(start, stop), self.losses
        given = (self.predictions[rows], self.targets[rows], self.weights[rows])
        return _Given(*given, None if losses is None else losses[rows], self.scored[rows])

    def fits(self, other: "_Given") -> bool:
        """Return whether both can be scored together."""
        same = self.predictions.shape[1:] == other.predictions.shape[1:]
        return (
            same
            and self.predictions.dtype == other.predictions.dtype
            and (self.losses is None) == (other.losses is None)
        )


class Prequential:
    """Scores and baselines over the whole stream and over the most recent rows.

    Parameters
    ----------
    task
        What is predicted.
    window
        Rows in the recent window.
    device
        Where predictions are made, and so where they are scored.
    one_by_one
        Whether each row was predicted from the labels of all rows before it, as the pure online learner does. By
        default a call of :meth:`update` is a microbatch: its rows were all predicted before any of its labels was
        seen. The baselines are held to the same delay, for a score without a baseline of equal delay misleads.
    learned
        Whether who predicts had learned labels before the first row that comes here.
    """

    def __init__(
        self,
        task: Task,
        window: int,
        device: torch.device | str,
        *,
        one_by_one: bool = False,
        learned: bool = False,
    ) -> None:
        self._task = task
        self._window = window
        self._device = torch.device(device)
        self._one_by_one = one_by_one
        self._tally: ClassTally | NumberTally
        if task is Task.REGRESSION:
            self._tally = NumberTally(self._device)
        else:
            self._tally = ClassTally(self._device, binary=task is Task.BINARY)
        self._rows = self._unscored = 0  # those that are not scored are the first ones
        self._learned = learned
        self._waiting: list[_Given] = []
        self._waiting_rows = 0
        self._totals = self._tally.zeros()
        capacity = -(-max(window, 1) // BLOCK) * BLOCK
        self._ring = torch.zeros((self._tally.columns, capacity), dtype=self._tally.dtype, device=self._device)

    def grow(self, classes: int) -> None:
        """Make room for `classes` classes; to be called before :meth:`update` sees a target beyond those known."""
        if isinstance(self._tally, ClassTally) and classes > self._tally.classes:
            self._settle()
            self._tally.grow(classes, self._totals)

    @torch.no_grad()
    def update(
        self, predictions: Tensor, targets: Tensor, weights: NDArray[np.float32], losses: Tensor | None = None
    ) -> None:
        """Score some rows; does not wait for the device. What is given must not be changed afterwards.

        Parameters
        ----------
        predictions
            For classes, probabilities: floating, shape (rows, columns). A class without a column has probability 0, so
            has one that was unknown when the prediction was made, and a row of zeros is no prediction and counts as
            wrong. For regression, values: floating, shape (rows,).
        targets
            Class indices, int64, shape (rows,), or for regression labels, float64, shape (rows,).
        weights
            float32, shape (rows,), on the host. Every score is a weighted mean; a row of weight 0 teaches nothing.
        losses
            The learner's own loss of each row, floating, shape (rows,); by default the log loss or the squared error.
        """
        rows, (there, scored) = targets.shape[0], self._weighted(weights)
        given = _Given(predictions, targets, there, losses, scored)
        # What is looked at row by row takes room for each row times classes.
        for start in range(0, rows, BLOCK if self._one_by_one else max(rows, 1)):
            self._waiting.append(given.part(start, start + BLOCK) if self._one_by_one else given)
            self._waiting_rows += self._waiting[-1].targets.shape[0]
            if self._waiting_rows >= BLOCK:
                self._settle()

    @torch.no_grad()
    def _settle(self) -> None:
        """Score what waits."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        while waiting:
            alike = list(takewhile(waiting[0].fits, waiting))
            waiting = waiting[len(alike) :]
            self._score(alike)

    def _score(self, alike: Sequence[_Given]) -> None:
        """Score rows that can be scored together."""
        predictions, targets, scored = (
            torch.cat(each) for each in zip(*((one.predictions, one.targets, one.scored) for one in alike), strict=True)
        )
        losses = [one.losses for one in alike if one.losses is not None]
        columns = self._tally.columns_of(predictions, targets, torch.cat(losses) if losses else None, scored)
        rows = len(targets)
        # What was known when is a matter of each microbatch, or of each row.
        lengths = np.ones(rows, np.int64) if self._one_by_one else np.array([len(one.targets) for one in alike])
        weights = torch.cat([one.weights for one in alike]).double()
        columns += self._tally.baselines(targets, weights, Cuts.of(lengths, self._device))
        self._write(columns, rows)

    def _weighted(self, weights: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """Return weights on the device, and those to score by: 0 where no label had been learned yet."""
        there = to_device(weights, self._device)
        if self._learned:
            return there, there
        teaching = np.flatnonzero(weights > 0)
        self._learned = len(teaching) > 0
        unscored = int(teaching[0]) + 1 if self._one_by_one and self._learned else len(weights)
        self._unscored += unscored
        return there, to_device(np.where(np.arange(len(weights)) < unscored, np.float32(0), weights), self._device)

    def _write(self, columns: list[Tensor], rows: int) -> None:
        """Put rows into the ring, folding each block as it fills up."""
        done = 0
        while done < rows:
            start = self._rows % self._ring.shape[1]
            taken = min(rows - done, BLOCK - start % BLOCK)
            for place, column in zip(self._ring[:, start : start + taken].unbind(0), columns, strict=True):
                place.copy_(column[done : done + taken])
            done += taken
            self._rows += taken
            if self._rows % BLOCK == 0:
                self._tally.fold(self._totals, self._ring[:, start + taken - BLOCK : start + taken])

    def _recent(self, rows: int) -> Tensor:
        """Return the last `rows` rows, oldest first, as a copy of shape (columns, rows)."""
        places = torch.arange(self._rows - rows, self._rows, device=self._device) % self._ring.shape[1]
        return self._ring[:, places]

    @torch.no_grad()
    def scores(self) -> dict[str, dict[str, float]]:
        """Return the scores of the scopes ``stream`` and ``window``; waits for the device.

        What is undefined, such as the area under the curve while there is one class only, is left out; there is never
        a NaN. ``count`` is the number of rows in the scope, whatever their weights, and ``scored`` of those among them
        that were answered after a label had been learned. The other keys are described at
        :meth:`ClassTally.report` and :meth:`NumberTally.report`.
        """
        self._settle()
        stream = {name: total.clone() for name, total in self._totals.items()}
        self._tally.fold(stream, self._recent(self._rows % BLOCK))
        window = self._tally.zeros()
        inside, scored = min(self._rows, self._window), self._rows - self._unscored
        self._tally.fold(window, self._recent(inside))
        return {
            "stream": {"count": float(self._rows), "scored": float(scored), **self._tally.report(stream)},
            "window": {"count": float(inside), "scored": float(min(inside, scored)), **self._tally.report(window)},
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` needs, copied to the host: JSON, and arrays by name."""
        self._settle()
        recent = self._recent(min(self._rows, self._ring.shape[1]))
        tensors = {
            "recent": recent,
            **{f"total_{name}": total for name, total in self._totals.items()},
            **{f"memory_{name}": memory for name, memory in self._tally.memory.items()},
        }
        meta = {
            "schema": SCHEMA,
            "task": self._task.value,
            "one_by_one": self._one_by_one,
            "rows": self._rows,
            "unscored": self._unscored,
            "learned": self._learned,
        }
        return meta, {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in tensors.items()}

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Go on exactly where :meth:`state` was called; another window takes effect as far as the rows kept reach.

        Raises
        ------
        StateMismatch
            It is the state of another task, or of an unknown schema version.
        """
        expected = {"schema": SCHEMA, "task": self._task.value, "one_by_one": self._one_by_one}
        found = {key: meta.get(key) for key in expected}
        if found != expected:
            raise StateMismatch(f"these scores are of {found}, this evaluation is of {expected}: start a new one")
        self._waiting, self._waiting_rows = [], 0
        tensors = {name: torch.tensor(array, device=self._device) for name, array in arrays.items()}
        self._rows = int(meta["rows"])
        # States of before these were counted scored all rows, or none of the first microbatch.
        self._unscored, self._learned = int(meta.get("unscored", 0)), bool(meta.get("learned", self._rows > 0))
        self._totals = {name: tensors[f"total_{name}"] for name in self._totals}
        self._tally.memory = {name: tensors[f"memory_{name}"] for name in self._tally.memory}
        recent = tensors["recent"][:, -self._ring.shape[1] :]
        places = torch.arange(self._rows - recent.shape[1], self._rows, device=self._device) % self._ring.shape[1]
        self._ring.zero_()
        self._ring[:, places] = recent
