"""What was really answered, in the place of what a learner would answer now.

On the path this stands before the evaluation: whoever is asked, and hears the label hours later, wants to know how good
the answer was that was given. A learner's own prediction of a row, made just before it learns the label, knows all that
came in between. So a row whose answer is known is scored by that; the others by the learner's own prediction, as ever.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from models.answered import UNANSWERED, Answered, class_name
from models.devices import to_device
from models.examples import Label

OWN = -1.0
"""In place of an age: the row is scored by the learner's own prediction. An age that is not known is NaN."""


class Served(NamedTuple):
    """Predictions by which rows are scored.

    Attributes
    ----------
    predictions
        Of the shape of the learner's own, perhaps of more classes.
    ages
        float32, shape (rows,), on the device: how many versions ago the answer was given; or :data:`OWN`.
    rows
        How many of them were really answered.
    """

    predictions: Tensor
    ages: Tensor | None
    rows: int


def served(own: Tensor, answered: Answered | None, classes: Sequence[Label]) -> Served:
    """Return what some rows are to be scored by; does not wait for the device.

    Parameters
    ----------
    own
        The learner's own predictions: probabilities of shape (rows, columns), or values of shape (rows,).
    answered
        What was answered of them, if anything was. An answer by a version that does not exist yet is another model's
        that had this one's name, and none here.
    classes
        The learner's, in the order of the columns; none for regression.
    """
    if answered is None:
        return Served(own, None, 0)
    known = answered.versions != UNANSWERED
    if answered.current != UNANSWERED:
        known &= answered.versions <= answered.current
    given = answered.columns_of([class_name(each) for each in classes]) if own.dim() == 2 else answered.values
    known &= given.any(1) if own.dim() == 2 else ~np.isnan(given)
    if not known.any():
        return Served(own, None, 0)
    there = to_device(given, own.device)
    if own.dim() == 2:
        width = max(own.shape[1], there.shape[1])
        own, there = pad(own, (0, width - own.shape[1])), pad(there, (0, width - there.shape[1]))
    if not known.all():
        mask = to_device(known, own.device)
        there = torch.where(mask.unsqueeze(1) if own.dim() == 2 else mask, there, own)
    return Served(there, to_device(_ages(answered, known), own.device), int(known.sum()))


def _ages(answered: Answered, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    ages = np.full(len(answered), np.nan, np.float32)
    if answered.current != UNANSWERED:
        ages[:] = answered.current - answered.versions
    ages[~known] = OWN
    return ages


def add_served(total: Tensor, weight: Tensor, ages: Tensor) -> None:
    """Add rows to sums of what was really answered.

    Parameters
    ----------
    total
        float64, shape (3,): weight of what was really answered; of those of a known age; and their ages, weighted.
    weight, ages
        float64, shape (rows,).
    """
    answered, dated = weight * (ages != OWN), weight * (ages >= 0)
    total += torch.stack([answered, dated, dated * ages.nan_to_num(0.0)]).sum(1)


def report_served(total: Tensor, weight: float) -> dict[str, float]:
    """Return what such sums say of rows of so much weight.

    ``coverage``, the share of them that was scored by what was really answered; ``answer_age``, how many versions there
    had been since, on average: left out where nothing is known of it.
    """
    answered, dated, ages = total.tolist()
    if weight <= 0:
        return {}
    return {"coverage": answered / weight} | ({"answer_age": ages / dated} if dated > 0 else {})
