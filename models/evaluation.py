"""Prequential evaluation: how good the predictions were that were made before their labels were learned.

A learner hands :class:`Prequential` the predictions of each microbatch, made by the parameters as they were before it,
together with the labels. Nothing here waits for the device until :meth:`Prequential.scores` is called. An update only
keeps what it was given, until there are rows for a block, or somebody asks: scoring many rows costs little more than
scoring few. Then they go into a ring on the device; each time that a block of it is full, it is folded into the totals
of the whole stream. So the totals depend neither on how the stream was cut nor on when it was asked.

An answer that was given before any label was learned is no prediction, and is not scored, neither a learner's nor a
baseline's: nobody had anything to go by, and who is asked first would decide. How many rows are scored is said.
Where it is known what was really answered, that is scored in place of what a learner would answer now
(``evaluation_served.py``). What is summed, and what it means, is in ``evaluation_classes.py`` and
``evaluation_numbers.py``.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answered import Answered
from models.devices import to_device
from models.errors import StateMismatch
from models.evaluation_classes import SCORE_COLUMN, ClassTally, Cuts, Totals
from models.evaluation_given import Given, ages_of
from models.evaluation_numbers import NumberTally
from models.evaluation_ranking import ReliabilityBin
from models.evaluation_served import OWN, add_served, report_served, served
from models.examples import Label, Task
from models.learner import Array, Json

SCHEMA = 3
BEFORE = 2  # without what was really answered, and, of many classes, without the answer's probability
BLOCK = 1024  # rows folded at once: many enough that an update rarely pays for it, few enough for small windows


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
        self._answered = 0  # those of which it is known what was really answered
        self._learned = learned
        self._waiting: list[Given] = []
        self._waiting_rows = 0
        self._looked: tuple[int, tuple[dict[str, float], tuple[ReliabilityBin, ...]]] | None = None
        self._totals = self._zeros()
        capacity = -(-max(window, 1) // BLOCK) * BLOCK
        # The last column is how old answers were: it is written to once there were any.
        self._ring = torch.zeros((self._tally.columns + 1, capacity), dtype=self._tally.dtype, device=self._device)
        self._ring[-1] = OWN

    def grow(self, classes: int) -> None:
        """Make room for `classes` classes; to be called before :meth:`update` sees a target beyond those known."""
        if isinstance(self._tally, ClassTally) and classes > self._tally.classes:
            self._settle()
            self._tally.grow(classes, self._totals)

    @torch.no_grad()
    def update(
        self,
        predictions: Tensor,
        targets: Tensor,
        weights: NDArray[np.float32],
        losses: Tensor | None = None,
        *,
        answered: Answered | None = None,
        classes: Sequence[Label] = (),
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
        answered
            What was really answered of these rows; it is scored in place of `predictions`, where it is known.
        classes
            For classes, the learner's, in the order of their indices: which answer means which.
        """
        rows, (there, scored) = targets.shape[0], self._weighted(weights)
        predictions, ages, count = served(predictions, answered, classes)
        self._answered += count
        given = Given(predictions, targets, there, losses, scored, ages)
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

    def _score(self, alike: Sequence[Given]) -> None:
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
        if self._answered:
            columns.append(ages_of(alike))
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
            for place, column in zip(self._ring[: len(columns), start : start + taken].unbind(0), columns, strict=True):
                place.copy_(column[done : done + taken])
            done += taken
            self._rows += taken
            if self._rows % BLOCK == 0:
                self._fold(self._totals, self._ring[:, start + taken - BLOCK : start + taken])

    def _zeros(self) -> Totals:
        """Return the totals of no rows."""
        return {**self._tally.zeros(), "answered": torch.zeros(3, dtype=torch.float64, device=self._device)}

    def _fold(self, totals: Totals, rows: Tensor) -> None:
        """Add `rows`, shape (columns, rows), to `totals`."""
        self._tally.fold(totals, rows[:-1])
        if self._answered:
            add_served(totals["answered"], rows[self._tally.weight_column].double(), rows[-1].double())

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
        :meth:`ClassTally.report` and :meth:`NumberTally.report`; at :func:`~models.evaluation_served.report_served`
        once it is known of any row what was really answered; and for the window at :meth:`ClassTally.look_closely`.
        """
        self._settle()
        stream = {name: total.clone() for name, total in self._totals.items()}
        self._fold(stream, self._recent(self._rows % BLOCK))
        window = self._zeros()
        inside, scored = min(self._rows, self._window), self._rows - self._unscored
        self._fold(window, self._recent(inside))
        counts = {"stream": (self._rows, scored), "window": (inside, min(inside, scored))}
        reports = {"stream": self._report(stream), "window": {**self._report(window), **self._look_closely()[0]}}
        return {
            scope: {"count": float(counts[scope][0]), "scored": float(counts[scope][1]), **reports[scope]}
            for scope in counts
        }

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Return how reliable the probabilities in the window are; nothing for regression. Waits for the device."""
        self._settle()
        return self._look_closely()[1]

    def _report(self, totals: Totals) -> dict[str, float]:
        report = self._tally.report(totals)
        if self._answered:
            report |= report_served(totals["answered"], float(totals["sums"][0]))
        return report

    def _look_closely(self) -> tuple[dict[str, float], tuple[ReliabilityBin, ...]]:
        """Return what takes all rows of the window; looked at once, however often it is asked for."""
        if isinstance(self._tally, NumberTally):
            return {}, ()
        if self._looked is None or self._looked[0] != self._rows:
            recent = self._recent(min(self._rows, self._window))[:-1]
            self._looked = self._rows, self._tally.look_closely(recent.cpu().numpy())
        return self._looked[1]

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
            "answered": self._answered,
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
        if found not in (expected, expected | {"schema": BEFORE}):
            raise StateMismatch(f"these scores are of {found}, this evaluation is of {expected}: start a new one")
        if meta["schema"] == BEFORE:
            arrays = self._brought_up(arrays)
        self._waiting, self._waiting_rows, self._looked = [], 0, None
        tensors = {name: torch.tensor(array, device=self._device) for name, array in arrays.items()}
        self._rows = int(meta["rows"])
        # States of before these were counted scored all rows, or none of the first microbatch.
        self._unscored, self._learned = int(meta.get("unscored", 0)), bool(meta.get("learned", self._rows > 0))
        self._answered = int(meta.get("answered", 0))
        self._totals = {name: tensors[f"total_{name}"] for name in self._totals}
        self._tally.memory = {name: tensors[f"memory_{name}"] for name in self._tally.memory}
        recent = tensors["recent"][:, -self._ring.shape[1] :]
        places = torch.arange(self._rows - recent.shape[1], self._rows, device=self._device) % self._ring.shape[1]
        self._ring.zero_()
        self._ring[-1] = OWN
        self._ring[:, places] = recent

    def _brought_up(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return the arrays of a former state as they are now."""
        recent = np.concatenate([arrays["recent"], np.full_like(arrays["recent"][:1], OWN)])
        if self._task is Task.MULTICLASS:
            recent[SCORE_COLUMN] = np.nan  # nobody kept it, so that it says nothing of calibration
        return {**arrays, "recent": recent, "total_answered": np.zeros(3)}
