"""Drift, noticed in a learner's own errors: :class:`DriftWatch`. Stands beside the scores.

For classes the error of a row is 1 where the answer is wrong and 0 where it is right. For numbers it is e / (e + t),
where e is the absolute error and t the median of the first ``GATHERED`` after the last change: so it has no unit, and a
wild value counts 1 at most. All errors go to River's detectors one by one, at a fifth of a microsecond each.

What is done about a drift is not decided here: see ``drift_options.py``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.drift_detectors import Detector, create_detector, version
from models.drift_options import DriftOptions
from models.evaluation_classes import likeliest
from models.examples import Task
from models.lagged import Lagged, Vector
from models.learner import Array, Json
from models.names import beneath, under

SCHEMA = 1
GATHERED = 256  # errors of a regression that say what a typical one is
TINY = 1e-9  # an error that is so small beside the labels' deviation is rounding
PARTS = "certain_"  # begins the names of the detector's arrays
WRONG = 1e300  # what an error counts as that is not a number


class DriftWatch:
    """Watches the errors of one learner, and counts its drifts.

    Parameters
    ----------
    options
        Which detector.
    task
        What is predicted.
    device
        Where answers are computed.

    Attributes
    ----------
    drifts
        How many were certain so far.
    last
        The row with which the last one was, counted from 1 over all rows given; None where there was none yet.
    """

    def __init__(self, options: DriftOptions, task: Task, device: torch.device | str) -> None:
        self._name = options.detector
        self._numbers = task is Task.REGRESSION
        self._detector: Detector | None = None
        if self._name != "none":
            # When errors of numbers have changed, another one is typical, and they are relative to that.
            self._detector = create_detector(self._name, lasting=not self._numbers)
        self._underway = Lagged(device)
        self._rows = 0
        self._gathered: Vector = np.zeros(0)
        self._typical = 0.0
        self.drifts = 0
        self.last: int | None = None

    @torch.no_grad()
    def update(
        self, answers: Tensor | None, targets: Tensor, weights: NDArray[np.float32], deviation: float = 1.0
    ) -> int:
        """Take in what was answered before the labels were learned; does not wait for the device.

        Parameters
        ----------
        answers
            Probabilities, shape (rows, classes known then), or values, shape (rows,); None where nothing was known.
        targets
            Indices of classes, int64, or labels, float64; shape (rows,).
        weights
            Shape (rows,). A row of weight 0 is not learned from, and says nothing here either.
        deviation
            Standard deviation of the labels, for regression.

        Returns
        -------
        int
            How many drifts there were, in rows that may have come a few microbatches earlier: see
            :mod:`models.lagged`.
        """
        if self._detector is None:
            return 0
        due = self._underway.exchange(self._errors(answers, targets, weights))
        return sum(self._look(self._detector, errors, deviation) for errors in due)

    def _errors(self, answers: Tensor | None, targets: Tensor, weights: NDArray[np.float32]) -> Tensor:
        """Return errors, NaN for rows that say nothing: float64, shape (rows,)."""
        if answers is None or (answers.dim() == 2 and not answers.shape[1]):
            return torch.full((len(targets),), torch.nan, dtype=torch.float64)
        if self._numbers:
            # What is not a number is as wrong as can be.
            errors = (answers - targets).abs().nan_to_num(WRONG, WRONG).double()
        else:
            errors = (likeliest(answers) != targets).double()
        counted = weights > 0
        return errors if counted.all() else errors.where(to_device(counted, errors.device), torch.nan)

    def _look(self, detector: Detector, errors: Vector, deviation: float) -> int:
        """Feed errors to the detector; return how many drifts it found."""
        places = np.flatnonzero(~np.isnan(errors))
        values = errors[places]
        if self._numbers:
            values = self._relative(values, deviation)
        rises, changed = detector.update(values.tolist())
        if rises:
            self.drifts += len(rises)
            self.last = self._rows + int(places[len(places) - len(values) + rises[-1]]) + 1
        if changed:
            self._gathered, self._typical = np.zeros(0), 0.0
        self._rows += len(errors)
        return len(rises)

    def _relative(self, errors: Vector, deviation: float) -> Vector:
        """Return absolute errors relative to a typical one, without those that say what a typical one is."""
        if not self._typical:
            missing = GATHERED - len(self._gathered)
            self._gathered = np.concatenate([self._gathered, errors[:missing]])
            errors = errors[missing:]
            if len(self._gathered) == GATHERED:
                smallest = max(TINY * deviation, float(np.finfo(np.float64).tiny))
                self._typical = max(float(np.median(self._gathered)), smallest)
        return errors / (errors + self._typical)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` needs: JSON, and arrays by name; waits for errors that are underway."""
        lengths, underway = self._underway.state()
        meta = {
            "schema": SCHEMA,
            "detector": self._name,
            "river": version() if self._detector else None,
            "rows": self._rows,
            "drifts": self.drifts,
            "last": self.last,
            "typical": self._typical,
            "underway": lengths,
        }
        arrays: dict[str, Array] = {"gathered": self._gathered.copy(), "underway": underway}
        if self._detector is not None:
            arrays |= beneath(PARTS, self._detector.state())
        return meta, arrays

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Go on exactly where :meth:`state` was called; a detector of another kind, or version of River, begins anew.

        An empty `meta`, as of a state from before there was a watch, changes nothing.
        """
        if meta.get("schema") != SCHEMA:
            return
        self._rows, self.drifts, self.last = int(meta["rows"]), int(meta["drifts"]), meta["last"]
        if self._detector is None or (meta["detector"], meta["river"]) != (self._name, version()):
            return
        self._typical, self._gathered = float(meta["typical"]), arrays["gathered"].copy()
        self._underway.restore(meta["underway"], arrays["underway"])
        self._detector.restore(under(PARTS, arrays))
