"""How well probabilities of late rank and mean what they say: the area under the curve, and calibration.

On the path this stands behind the evaluation's ring, which keeps the scores of the recent rows: what is computed of
them here is exact, and only computed when somebody asks. Whole streams have histograms (``evaluation_classes.py``).

Calibration is looked at in bins of equal weight, not of equal width, for where one event in fifty is a click, bins of
equal width hold all rows in the first of them. That it is also the less biased estimate of the two is shown by Roelofs,
Cain, Shlens and Mozer, *Mitigating Bias in Calibration Error Estimation* (AISTATS 2022, arXiv 2012.08668).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RELIABILITY_BINS = 10
"""Few enough that a window of some thousand rows says something of each."""


class ReliabilityBin(NamedTuple):
    """Rows of about the same probability.

    Attributes
    ----------
    lowest, highest
        Probabilities in it.
    share
        Of the weight of all rows.
    predicted, observed
        The weighted mean of the probabilities, and the share of the weight of rows in which it came true. Where
        probabilities mean what they say, these are equal but for chance.
    """

    lowest: float
    highest: float
    share: float
    predicted: float
    observed: float


def reliability(probability: Floats, happened: NDArray[np.bool_], weight: Floats) -> tuple[ReliabilityBin, ...]:
    """Return rows in bins of about equal weight, from the least probable on; none where nothing has a weight.

    Parameters
    ----------
    probability
        Shape (rows,); NaN is none, and the row is left out.
    happened
        Shape (rows,); whether it came true.
    weight
        Shape (rows,); at least 0.
    """
    kept = (weight > 0) & ~np.isnan(probability)
    probability, happened, weight = probability[kept], happened[kept], weight[kept]
    if not len(probability):
        return ()
    order = np.argsort(probability, kind="stable")
    probability, happened, weight = probability[order], happened[order], weight[order]
    total = weight.sum()
    # Rows of one probability are in one bin, whatever their order: the one in which the first of them lies.
    starts = _starts(probability)
    before = np.cumsum(weight) - weight
    places = (before[starts] / total * RELIABILITY_BINS).astype(np.int64).clip(0, RELIABILITY_BINS - 1)
    firsts = starts[_starts(places)]
    ends = np.append(firsts[1:], len(probability)) - 1
    inside = np.add.reduceat(weight, firsts)
    predicted = np.add.reduceat(weight * probability, firsts) / inside
    observed = np.add.reduceat(weight * happened, firsts) / inside
    columns = (probability[firsts], probability[ends], inside / total, predicted, observed)
    return tuple(ReliabilityBin(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Return the expected calibration error: by how much, on average, what was said differs from what came true."""
    return sum(each.share * abs(each.predicted - each.observed) for each in bins)


def area_under_curve(score: Floats, positive: NDArray[np.bool_], weight: Floats) -> float | None:
    """Return the chance that a score of a positive row lies above that of a negative one, where equal ones count half.

    Parameters
    ----------
    score, positive, weight
        Shape (rows,); a score that is NaN counts as 0.

    Returns
    -------
    float or None
        None where there are no two kinds of rows.
    """
    score = np.nan_to_num(score, nan=0.0)
    order = np.argsort(score, kind="stable")
    score, above, below = score[order], (weight * positive)[order], (weight * ~positive)[order]
    pairs = above.sum() * below.sum()
    if not pairs > 0:
        return None
    starts = _starts(score)
    positives, negatives = np.add.reduceat(above, starts), np.add.reduceat(below, starts)
    under = np.cumsum(negatives) - negatives / 2
    return float((positives * under).sum() / pairs)


def _starts(ascending: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
