"""What the prequential evaluation sums for classes, and the majority and no-change baselines beside it."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from models.devices import to_device
from models.evaluation_ranking import ReliabilityBin, area_under_curve, calibration_error, reliability

Totals = dict[str, Tensor]

PROBABILITY_FLOOR = 1e-6  # log loss counts a smaller probability as this one: one surprise costs 13.8 at most
LOSS_LIMIT = 1e38  # what an infinite loss counts as, so that the mean stays finite
BINS = 4096
SCORE_COLUMN = 3  # of what is kept of a row
LOGIT_RANGE = 16.0  # float32 cannot tell probabilities from 1 beyond it


class Cuts(NamedTuple):
    """How rows were cut into microbatches, or each for itself; on the device.

    Attributes
    ----------
    of_rows
        int64, shape (rows,): which microbatch each is of, from 0.
    ends
        int64, shape (microbatches,): the last row of each.
    """

    of_rows: Tensor
    ends: Tensor

    @classmethod
    def of(cls, lengths: NDArray[np.int64], device: torch.device) -> "Cuts":
        """Return the cuts of microbatches of so many rows, at least one each."""
        of_rows = np.repeat(np.arange(len(lengths)), lengths)
        return cls(to_device(of_rows, device), to_device(lengths.cumsum() - 1, device))


class ClassTally:
    """Sums over rows of classified examples.

    The area under the ROC curve over a whole stream is that of a histogram with ``BINS`` bins of equal width in the
    logit of the score; scores that share a bin count as equal.

    Parameters
    ----------
    device
        Where the sums are kept.
    binary
        Whether there are two classes at most, so that there is an area under the ROC curve.
    """

    columns = 8  # target, predicted, probability of the target, score, weight, loss, majority, last
    weight_column = 4
    dtype = torch.float32  # exact for class indices below 2^24

    def __init__(self, device: torch.device, *, binary: bool) -> None:
        self._device = device
        self._binary = binary
        classes = 2 if binary else 1
        self.memory = {
            "weights": torch.zeros(classes, dtype=torch.float64, device=device),
            "last": torch.full((), -1, dtype=torch.int64, device=device),
        }

    def zeros(self) -> Totals:
        """Return the totals of no rows."""
        classes = len(self.memory["weights"])
        shapes: dict[str, tuple[int, ...]] = {"sums": (6,), "class_weights": (classes,), "class_hits": (classes,)}
        if self._binary:
            shapes["histogram"] = (2, BINS)
        return {name: torch.zeros(shape, dtype=torch.float64, device=self._device) for name, shape in shapes.items()}

    def grow(self, classes: int, totals: Totals) -> None:
        """Make room for `classes` classes in the memory of the baselines and in `totals`."""
        missing = classes - len(self.memory["weights"])
        if missing > 0:
            self.memory["weights"] = pad(self.memory["weights"], (0, missing))
            for name in ("class_weights", "class_hits"):
                totals[name] = pad(totals[name], (0, missing))

    @property
    def classes(self) -> int:
        """For how many classes there is room."""
        return len(self.memory["weights"])

    def columns_of(self, probabilities: Tensor, targets: Tensor, losses: Tensor | None, scored: Tensor) -> list[Tensor]:
        """Return what is kept of some rows beside the baselines' predictions: tensors of shape (rows,).

        See :meth:`models.evaluation.Prequential.update`; `scored`, float32, shape (rows,), is the weight of each in the
        scores.
        """
        missing = len(self.memory["weights"]) - probabilities.shape[1]
        if missing > 0:
            probabilities = pad(probabilities, (0, missing))
        of_target = probabilities.gather(1, targets.unsqueeze(1)).squeeze(1)
        if losses is None:
            losses = surprise(of_target)
        predicted = likeliest(probabilities)
        # Of two classes the second one's probability is looked at, of many that of the answer.
        score = probabilities[:, 1] if self._binary else probabilities.gather(1, predicted.unsqueeze(1)).squeeze(1)
        return [targets, predicted, of_target, score, scored, losses]

    def baselines(self, targets: Tensor, weights: Tensor, cuts: Cuts) -> tuple[Tensor, Tensor]:
        """Return the majority's and the last label's predictions, shape (rows,) each, and remember these labels.

        Those for a microbatch come from the labels before it; `weights` are float64.
        """
        known = self.memory["weights"]
        counts = torch.zeros((len(cuts.ends) + 1, len(known)), dtype=known.dtype, device=self._device)
        counts[0] = known
        # Not index_add_, whose order of additions is left open on CUDA.
        counts.index_put_((cuts.of_rows + 1, targets), weights, accumulate=True)
        counts = counts.cumsum(0)
        self.memory["weights"] = counts[-1].clone()
        return counts[:-1].argmax(1)[cuts.of_rows], last_before(self.memory, targets, cuts)

    def fold(self, totals: Totals, rows: Tensor) -> None:
        """Add `rows`, shape (columns, rows), to `totals`."""
        target, predicted, probability, score, weight, loss, majority, last = rows.double().unbind(0)
        hit = (predicted == target) & (probability > 0)
        ones = torch.ones_like(weight)
        finite = loss.nan_to_num(0.0, LOSS_LIMIT, -LOSS_LIMIT)
        terms = [ones, hit, surprise(probability), finite, majority == target, last == target]
        totals["sums"] += (torch.stack([term.double() for term in terms]) * weight).sum(1)
        classes = target.long()
        totals["class_weights"].index_put_((classes,), weight, accumulate=True)
        totals["class_hits"].index_put_((classes,), weight * hit, accumulate=True)
        if self._binary:
            totals["histogram"].index_put_((classes, _bins(score)), weight, accumulate=True)

    def look_closely(self, rows: NDArray[np.float32]) -> tuple[dict[str, float], tuple[ReliabilityBin, ...]]:
        """Return what takes all of some rows, on the host: scores, and how reliable probabilities are.

        Parameters
        ----------
        rows
            Shape (columns, rows).

        Returns
        -------
        scores
            ``calibration_error``; for binary tasks ``roc_auc``, the exact one.
        bins
            Of the second class's probability, for binary tasks; otherwise of the answer's, and whether it was right.
        """
        target, predicted, _, score, weight, *_ = rows.astype(np.float64)
        happened = target == (1 if self._binary else predicted)
        bins = reliability(score, happened, weight)
        scores = {"calibration_error": calibration_error(bins)} if bins else {}
        area = area_under_curve(score, happened, weight) if self._binary else None
        return scores if area is None else {"roc_auc": area, **scores}, bins

    def report(self, totals: Totals) -> dict[str, float]:
        """Return what `totals` say.

        ``accuracy``; ``balanced_accuracy``, the mean over classes of the share predicted rightly; ``log_loss``, with
        probabilities below ``PROBABILITY_FLOOR`` counted as that; ``loss``, the learner's own; ``roc_auc`` for binary
        tasks; ``majority_accuracy`` and ``no_change_accuracy``, those of always predicting the commonest label and the
        last one.
        """
        weight, *sums = totals["sums"].tolist()
        if weight <= 0:
            return {}
        names = ("accuracy", "log_loss", "loss", "majority_accuracy", "no_change_accuracy")
        report = {name: total / weight for name, total in zip(names, sums, strict=True)}
        present = totals["class_weights"] > 0
        shares = totals["class_hits"][present] / totals["class_weights"][present]
        report["balanced_accuracy"] = float(shares.mean())
        if self._binary and bool(present.all()):
            report["roc_auc"] = _area(totals["histogram"])
        return report


def likeliest(probabilities: Tensor) -> Tensor:
    """Return the class with the highest probability, int64, shape (rows,); of equal ones the first."""
    if probabilities.shape[1] != 2:
        return probabilities.argmax(1)
    # Over two columns argmax takes ten times as long.
    return (probabilities[:, 1] > probabilities[:, 0]).long()


def last_before(memory: dict[str, Tensor], targets: Tensor, cuts: Cuts) -> Tensor:
    """Return for each row the last target before its microbatch, and remember the last one of all."""
    lasts = torch.cat([memory["last"].view(1), targets[cuts.ends]])
    memory["last"] = lasts[-1].clone()
    return lasts[cuts.of_rows]


def surprise(probability: Tensor) -> Tensor:
    """Return the log loss of events of these probabilities, in nats; NaN is no prediction, so probability 0."""
    return -probability.nan_to_num(0.0).clamp(PROBABILITY_FLOOR, 1.0).log()


def _bins(score: Tensor) -> Tensor:
    """Return the bin of each score, int64."""
    # 1e-8 lies beyond LOGIT_RANGE on either side.
    logit = score.nan_to_num(0.0).clamp(1e-8, 1 - 1e-8).logit()
    return ((logit + LOGIT_RANGE) * (BINS / (2 * LOGIT_RANGE))).long().clamp(0, BINS - 1)


def _area(histogram: Tensor) -> float:
    """Return the chance that a score of class 1 lies above one of class 0, where equal ones count half."""
    negatives, positives = histogram
    below = negatives.cumsum(0) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))
