"""One challenger against the champion: the differences of their losses on the same rows, and what they say so far.

On the path it stands behind learning: :class:`Pair` is given what both answered of a microbatch before either learned
it. Sums are made where the answers are, and come to the host as all that is decided by does (``lagged.py``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.confidence_sequence import ConfidenceSequence
from models.contest_losses import BOUNDS, after, errors_of, is_wild, losses_of, unit_of
from models.contest_rules import ContestRules
from models.devices import to_device
from models.examples import Task
from models.lagged import Lagged
from models.learner import Array, Json, Tested


@dataclass(frozen=True, slots=True)
class Since:
    """From when on a challenger has been significantly better: compared rows, and seconds of the log's time."""

    events: int
    seconds: float


class Pair:
    """What a challenger is worth beside the champion.

    Parameters
    ----------
    task, rules
        What is predicted, and how it is judged.
    number
        Of this test among the challenger's own, from 1.
    device
        Where differences are summed.

    Attributes
    ----------
    sequence
        Of the champion's loss less the challenger's: above 0 where the challenger is better.
    since
        None while it is not significantly better.
    wild
        Rows to which the challenger's answer was no number.
    """

    def __init__(self, task: Task, rules: ContestRules, number: int, device: torch.device) -> None:
        self.number = number
        self.wild = 0
        self.since: Since | None = None
        self._measure = rules.measure_for(task)
        self.sequence = ConfidenceSequence(BOUNDS[self._measure])
        self._regression, self._device = task is Task.REGRESSION, device
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._united = False
        self._underway = Lagged(device)

    @torch.no_grad()
    def compare(self, champion: Tested, challenger: Tested, weights: NDArray[np.float32]) -> None:
        """Take in what both answered of the same rows; those of weight 0 do not count.

        Parameters
        ----------
        champion, challenger
            Each in its own order of classes.
        weights
            float32, shape (rows,), on the host.
        """
        champion, challenger = (_on(self._device, each) for each in (champion, challenger))
        unit, known = unit_of(self._sums), self._united or not self._regression
        difference = losses_of(self._measure, champion, unit) - losses_of(self._measure, challenger, unit)
        if self._regression:
            # Of both alike, and of before these rows: else the better one would make its own yardstick.
            self._sums = after(self._sums, (errors_of(champion) + errors_of(challenger)) / 2)
            self._united = True
        counted = to_device((weights > 0) & known, self._device).double()
        difference = difference * counted
        sums = torch.stack([counted.sum(), difference.sum(), difference.square().sum(), is_wild(challenger)])
        for count, total, squares, wild in self._underway.exchange(sums):
            self.sequence.take_in(int(count), float(total), float(squares))
            self.wild += int(wild)

    def judge(self, level: float, seconds: float) -> None:
        """Look whether the challenger is significantly better, and note since when, at a moment of the log's time."""
        if not self.sequence.is_above_zero(level):
            self.since = None
        elif self.since is None:
            self.since = Since(self.sequence.count, seconds)

    def held(self, rules: ContestRules, seconds: float) -> bool:
        """Return whether it has been significantly better for as long as the rules ask."""
        since = self.since
        if since is None or self.sequence.count - since.events < rules.hold_events:
            return False
        return seconds - since.seconds >= rules.hold_seconds

    def report(self, level: float, seconds: float) -> dict[str, Any]:
        """Return what is known, for operators."""
        low, high = self.sequence.interval(level)
        since = self.since
        return {
            "number": self.number,
            "level": level,
            "measure": self._measure,
            "events": self.sequence.count,
            "difference": self.sequence.mean,
            "low": low,
            "high": high,
            "significant": since is not None,
            "significant_events": 0 if since is None else self.sequence.count - since.events,
            "significant_seconds": 0.0 if since is None else max(seconds - since.seconds, 0.0),
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what :meth:`restore` needs: JSON, and arrays; waits for what is underway."""
        lengths, underway = self._underway.state()
        meta = {
            "number": self.number,
            "wild": self.wild,
            "since": None if self.since is None else [self.since.events, self.since.seconds],
            "sequence": self.sequence.to_json(),
            "united": self._united,
            "underway": lengths,
        }
        return meta, {"sums": np.array(self._sums.cpu().numpy()), "underway": np.array(underway)}

    def restore(self, meta: Json, arrays: dict[str, Array]) -> None:
        """Become what :meth:`state` was called of."""
        self.number, self.wild, self._united = meta["number"], meta["wild"], meta["united"]
        self.since = None if meta["since"] is None else Since(*meta["since"])
        self.sequence.restore(meta["sequence"])
        self._sums = torch.tensor(arrays["sums"], dtype=torch.float64, device=self._device)
        self._underway.restore(meta["underway"], arrays["underway"])


def _on(device: torch.device, tested: Tested) -> Tested:
    """Return answers and targets on a device; the host does not wait where it is an accelerator that they go to."""
    away = device.type == "cuda"
    return Tested(tested.answers.to(device, non_blocking=away), tested.targets.to(device, non_blocking=away))
