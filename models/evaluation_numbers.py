"""What the prequential evaluation sums for numbers, and the running-mean and no-change baselines beside it."""

import math

import torch
from torch import Tensor

from models.evaluation_classes import Cuts, Totals, last_before

LIMIT = 1e100  # predictions and labels beyond it count as it: squares of their differences can still be summed


class NumberTally:
    """Sums over rows of regression.

    Means and squared deviations are merged as in Chan, Golub and LeVeque (1979), so that R² is right for labels far
    from zero.

    Parameters
    ----------
    device
        Where the sums are kept.
    """

    columns = 6  # target, predicted, weight, loss, mean, last
    weight_column = 2
    dtype = torch.float64

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # The last label; the first one, to which the sums of weights and of weighted labels are relative.
        memory = {"last": torch.zeros(()), "origin": torch.tensor(math.inf), "sums": torch.zeros(2)}
        self.memory = {name: initial.double().to(device) for name, initial in memory.items()}

    def zeros(self) -> Totals:
        """Return the totals of no rows."""
        shapes: dict[str, tuple[int, ...]] = {"sums": (6,), "mean": (), "deviation": ()}
        return {name: torch.zeros(shape, dtype=torch.float64, device=self._device) for name, shape in shapes.items()}

    def columns_of(self, values: Tensor, targets: Tensor, losses: Tensor | None, scored: Tensor) -> list[Tensor]:
        """Return what is kept of some rows beside the baselines' predictions: tensors of shape (rows,).

        See :meth:`models.evaluation.Prequential.update`; `scored`, float32, shape (rows,), is the weight of each in the
        scores.
        """
        values, targets = _bounded(values), _bounded(targets)
        if losses is None:
            losses = (values - targets).square()
        return [targets, values, scored, losses]

    def baselines(self, targets: Tensor, weights: Tensor, cuts: Cuts) -> tuple[Tensor, Tensor]:
        """Return the running mean's and the last label's predictions, shape (rows,), and remember these labels.

        See :meth:`models.evaluation_classes.ClassTally.baselines`.
        """
        targets, memory = _bounded(targets), self.memory
        # Deviations from the first label, for large offsets.
        origin = memory["origin"] = torch.where(torch.isinf(memory["origin"]), targets[0], memory["origin"])
        sums = torch.zeros((len(cuts.ends) + 1, 2), dtype=torch.float64, device=self._device)
        sums[0] = memory["sums"]
        sums.index_put_((cuts.of_rows + 1,), torch.stack([weights, (targets - origin) * weights], 1), accumulate=True)
        sums = sums.cumsum(0)
        memory["sums"] = sums[-1].clone()
        means = origin + sums[:, 1] / sums[:, 0].clamp_min(1e-300)
        return means[cuts.of_rows], last_before(memory, targets, cuts)

    def fold(self, totals: Totals, rows: Tensor) -> None:
        """Add `rows`, shape (columns, rows), to `totals`."""
        target, predicted, weight, loss, mean, last = rows.unbind(0)
        error = predicted - target
        terms = [torch.ones_like(error), error.abs(), error.square(), loss.nan_to_num(0.0).clamp(-1e200, 1e200)]
        terms += [(mean - target).abs(), (last - target).abs()]
        before = totals["sums"][0].clone()
        added = (torch.stack(terms) * weight).sum(1)
        totals["sums"] += added
        here = added[0].clamp_min(1e-300)
        center = (target * weight).sum() / here
        # A second look at the rows: the rounding of the first one's large sum would show in the deviations.
        center = center + ((target - center) * weight).sum() / here
        step = torch.where(added[0] > 0, center - totals["mean"], 0.0)
        share = added[0] / (before + added[0]).clamp_min(1e-300)
        totals["deviation"] += ((target - center).square() * weight).sum() + step.square() * before * share
        totals["mean"] += step * share

    def report(self, totals: Totals) -> dict[str, float]:
        """Return what `totals` say.

        ``mae``, ``rmse``; ``r2``, the share of the labels' variance that is explained (left out where they do not
        vary); ``loss``, the learner's own; ``mean_mae`` and ``no_change_mae``, those of always predicting the mean of
        the labels so far and the last one.
        """
        weight, absolute, squared, loss, mean, last = totals["sums"].tolist()
        if weight <= 0:
            return {}
        report = {
            "mae": absolute / weight,
            "rmse": math.sqrt(squared / weight),
            "loss": loss / weight,
            "mean_mae": mean / weight,
            "no_change_mae": last / weight,
        }
        deviation = float(totals["deviation"])
        # One that is nothing beside the errors is rounding.
        if deviation > squared * 1e-300:
            report["r2"] = 1 - squared / deviation
        return report


def _bounded(values: Tensor) -> Tensor:
    """Return `values` as finite float64; NaN becomes 0."""
    return values.double().nan_to_num(0.0, LIMIT, -LIMIT).clamp(-LIMIT, LIMIT)
