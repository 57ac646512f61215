"""Numbers as bins for tables of parameters: what is linear in them is piecewise linear in the number.

Each standardised number lies between two of nine knots, at whole deviations from −4 to 4, and counts as both, the
nearer one the more: a linear spline (as in multivariate adaptive regression splines: Friedman, 1991, with fixed knots).
So a linear expert becomes an additive one of curves, and hashing into the table that strings use costs no columns.
"""

import numpy as np

from models.encoder_levels import hash_numbers
from models.encoder_numbers import CLIP, clipped
from models.encoder_plan import Plan
from models.encoder_strings import Bag
from models.moments import Matrix

KNOTS = 9


def bins_of(plan: Plan, deviations: Matrix) -> Bag:
    """Return the bins of some rows, in the order of the rows; squares sum to no more than 1 in each row.

    Parameters
    ----------
    plan
        Says which columns have bins, and their seeds.
    deviations
        Standardised numbers that have a place, shape (rows, known), NaN where missing.
    """
    chosen = clipped(deviations[:, plan.binned])
    missing = np.isnan(chosen)
    chosen[missing] = 0.0
    place = (chosen + CLIP) * ((KNOTS - 1) / (2 * CLIP))
    low = np.minimum(np.floor(place), KNOTS - 2)
    share = place - low
    amounts = np.stack([1 - share, share], 2) * ~missing[:, :, None] / np.sqrt(max(chosen.shape[1], 1))
    knots = np.concatenate([low, low + 1], 1)
    hashes = hash_numbers(knots, np.tile(plan.bin_seeds, 2)).reshape(len(low), 2, -1).transpose(0, 2, 1)
    rows = np.repeat(np.arange(len(low)), 2 * low.shape[1])
    return Bag(rows, hashes.reshape(-1), amounts.astype(np.float32).reshape(-1))
