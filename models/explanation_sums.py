"""What features contribute to a mixture of linear models, exactly: contributions add up to the output.

Each linear model's outputs are sums over features, so that what a feature adds to one is the difference that leaving it
out makes, to rounding. A value is a sum of such outputs. The logarithm of the odds of a mixture is not, nor is that of
one class among several: there each output's differences are weighed by the mean gradient on the straight way from the
row without features to the row (integrated gradients: Sundararajan et al., ICML 2017). For one model of two classes
this is weight × input.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NODES = 32
"""Points of the Gauss-Legendre quadrature on the way."""

ROUNDING = 1e-3
"""Of what is summed: what sums may be off by, computed in float32, before the model is taken for no sum after all."""


class Shared(NamedTuple):
    """What outputs are shared out into.

    Attributes
    ----------
    contributions
        Of the variants' features, in their order; float64, shape (features over all rows,).
    baseline, output
        float64, shape (rows,).
    """

    contributions: Numbers
    baseline: Numbers
    output: Numbers


class Sums(NamedTuple):
    """Outputs of several models that are mixed.

    Attributes
    ----------
    outputs
        Logarithms of probabilities, each row's up to a constant, or values; float64, shape (rows, models, columns).
    shares
        Of the models, float64, shape (models,); they sum to 1.
    """

    outputs: Numbers
    shares: Numbers


def shared_out(sums: Sums, rows: NDArray[np.intp], columns: NDArray[np.intp] | None) -> Shared | None:
    """Return what each feature contributes; None where the outputs are no sums over features.

    Parameters
    ----------
    sums
        Of variants, in the order of :class:`models.explanation_variants.Variants`.
    rows
        Which row each is a variant of, shape (variants,).
    columns
        Of the class to be explained, shape (rows,); None for values.
    """
    heeded = sums.shares > 0
    sums = Sums(sums.outputs[:, heeded], sums.shares[heeded])
    count = int(rows.max()) + 1
    of = rows[2 * count :]
    whole, nothing = sums.outputs[:count], sums.outputs[count : 2 * count]
    if not np.isfinite(sums.outputs).all():
        return None
    differences = whole[of] - sums.outputs[2 * count :]
    added = np.zeros_like(whole)
    np.add.at(added, of, differences)
    sizes = np.abs(whole) + np.abs(nothing) + 1
    if (np.abs(nothing + added - whole) > ROUNDING * sizes).any():
        return None
    if columns is None:
        contributions = np.einsum("vmc,m->v", differences, sums.shares)
        baseline, output = (np.einsum("vmc,m->v", each, sums.shares) for each in (nothing, whole))
    else:
        gradient = _mean_gradient(nothing, whole, sums.shares, columns)
        contributions = np.einsum("vmc,vmc->v", differences, gradient[of])
        baseline, output = (_log_odds(each, sums.shares, columns)[0] for each in (nothing, whole))
    return Shared(_made_up(contributions, of, output - baseline), baseline, output)


def _log_odds(outputs: Numbers, shares: Numbers, columns: NDArray[np.intp]) -> tuple[Numbers, Numbers]:
    """Return logarithms of the odds of classes, shape (rows,), and their gradients, shape (rows, models, classes)."""
    rows = np.arange(len(outputs))
    logs = outputs - np.logaddexp.reduce(outputs, axis=2, keepdims=True)
    of_class = logs[rows, :, columns]
    others = logs.copy()
    others[rows, :, columns] = -np.inf
    of_others = np.logaddexp.reduce(others, axis=2)
    mixed, mixed_others = (np.logaddexp.reduce(each + np.log(shares), axis=1) for each in (of_class, of_others))
    # d p / d output = p · (1 − p) for the class itself, −p · q for another of probability q; over P · (1 − P).
    weights = np.log(shares) + of_class - (mixed + mixed_others)[:, None]
    others[rows, :, columns] = of_others
    gradient = -np.exp(weights[:, :, None] + others)
    gradient[rows, :, columns] *= -1.0
    return mixed - mixed_others, gradient


def _mean_gradient(nothing: Numbers, whole: Numbers, shares: Numbers, columns: NDArray[np.intp]) -> Numbers:
    """Return the mean gradient on the way from one to the other, shape (rows, models, classes)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    mean = np.zeros_like(whole)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        there = nothing + (whole - nothing) * ((1 + node) / 2)
        mean += weight / 2 * _log_odds(there, shares, columns)[1]
    return mean


def _made_up(contributions: Numbers, of: NDArray[np.intp], total: Numbers) -> Numbers:
    """Return contributions that add up to `total`: what quadrature and rounding left is dealt out by their sizes."""
    missing = total - np.bincount(of, contributions, len(total))
    sizes = np.bincount(of, np.abs(contributions), len(total))
    share = np.divide(missing, sizes, out=np.zeros_like(missing), where=sizes > 0)
    made_up: Numbers = contributions + np.abs(contributions) * share[of]
    return made_up
