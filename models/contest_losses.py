"""How wrong answers were, row by row, as bounded numbers: what a champion and its challengers are compared by.

On the path it stands between what each of them answered of a microbatch and the statistics of their differences.
Bounded, because nothing that holds at every moment can be said of numbers of which one may outweigh all others.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.contest_rules import Measure
from models.evaluation_classes import likeliest, surprise
from models.evaluation_numbers import LIMIT
from models.learner import Tested

LEAST_PROBABILITY = 0.01
"""Log loss counts a smaller probability of what came as this one: one surprise costs 4.6 nats at most."""

FARTHEST = 4.0
"""Units of error: what is farther off counts as this far. A unit is the mean absolute error of the two compared."""

BOUNDS: dict[Measure, float] = {
    "log_loss": -math.log(LEAST_PROBABILITY),
    "error": 1.0,
    "absolute_error": FARTHEST,
    "squared_error": FARTHEST**2,
}
"""Measure → the largest loss of a row; the smallest is 0."""

UNIT_LIFE = 10_000.0
"""Rows after which an error counts half in the unit: errors of long ago say little of how large one is."""


LEAP = 1000.0
"""Times a unit that the errors of a microbatch may be at most to count in full: one of a single row may be wild."""


def errors_of(tested: Tested) -> Tensor:
    """Return absolute errors of regression, float64, shape (rows,); what is no number is as far off as can be."""
    return (tested.answers.double() - tested.targets.double()).abs().nan_to_num(LIMIT, LIMIT).clamp_max(LIMIT)


def losses_of(measure: Measure, tested: Tested, unit: Tensor) -> Tensor:
    """Return the losses of rows, float64, shape (rows,), from 0 to the measure's bound.

    Parameters
    ----------
    measure
        Not ``auto``.
    tested
        Answers, each given before its label was seen.
    unit
        Scalar, for regression: see :func:`unit_of`.
    """
    if measure in ("absolute_error", "squared_error"):
        far = (errors_of(tested) / unit).nan_to_num(FARTHEST, FARTHEST).clamp_max(FARTHEST)
        return far if measure == "absolute_error" else far.square()
    answers, targets = tested.answers, tested.targets
    # A class without a column was unknown when the answer was given.
    missing = int(answers.shape[1] == 0)
    answers = pad(answers, (0, missing)) if missing else answers
    of_target = answers.gather(1, targets.clamp_max(answers.shape[1] - 1).unsqueeze(1)).squeeze(1)
    of_target = torch.where(targets < answers.shape[1], of_target, 0.0)
    if measure == "error":
        return ((likeliest(answers) != targets) | ~(of_target > 0)).double()
    return surprise(of_target).double().clamp_max(BOUNDS["log_loss"])


def is_wild(tested: Tested) -> Tensor:
    """Return how many rows got an answer that is not a number, float64, scalar."""
    wild = ~torch.isfinite(tested.answers)
    return (wild.any(1) if wild.dim() == 2 else wild).sum().double()


def unit_of(sums: Tensor) -> Tensor:
    """Return the unit of errors that :func:`after` has summed, scalar; no error at all makes a tiny one."""
    return (sums[0] / sums[1]).clamp_min(1e-300)


def after(sums: Tensor, errors: Tensor) -> Tensor:
    """Return sums, float64, shape (2,), of absolute errors and of rows, with those of some more rows, at least one.

    An error far beyond the unit counts as :data:`FARTHEST` units, so that a single wild one does not make all others
    look like nothing; where half of the rows are beyond it, errors have grown, and the unit follows by leaps.
    """
    unit = unit_of(sums)
    reach = FARTHEST * torch.maximum(unit, torch.minimum(errors.median(), LEAP * unit))
    bounded = torch.where(sums[0] > 0, torch.minimum(errors, reach), errors)
    kept = float(0.5 ** (len(errors) / UNIT_LIFE))
    return sums * kept + torch.stack([bounded.sum(), torch.full_like(sums[1], float(len(errors)))])
