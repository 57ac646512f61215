"""What was answered about an event when it was asked, read off its part ``prediction``: a column of it for each class.

On the path this stands beside the examination of decoded events. A prediction that is remembered
(``rest/remembering.py``) comes back through the log in this form; whoever answers from a model of his own may send the
same with his observations::

    {"model_version": 412, "probabilities": {"late": 0.81, "on-time": 0.19}}
    {"model_version": 412, "value": 3.7}

Something else of that name, without a `model_version`, is nothing of ours, and is not looked at. Nor is an answer that
says ``of_model`` and means another model than the one that learns: one that had its name, or learned the same topic.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.answered import UNANSWERED, Answered
from service.decoding.extent import check_cells
from service.decoding.labels import MAXIMUM_CLASSES

LARGEST_VERSION = 2**63 - 1
LONGEST_NAME = 1_000
"""Characters of a class's name: as many as a label may have."""

MOST_PROBABLE = 1.001
"""Probabilities are rounded to float32, and so may be a little beyond 1."""

_LARGEST = float(np.finfo(np.float64).max)

WRONG = (
    "a prediction has a whole model_version of at least 0 and either probabilities, from 0 to 1 by the name of the "
    "class, or a finite value: send back what was answered, or leave it out"
)
"""What is said of one that cannot be used."""


class _Answer(NamedTuple):
    row: int
    version: int
    probabilities: dict[str, float]
    value: float


def answers_in(column: Sequence[Any], of_model: str = "") -> tuple[Answered | None, list[int]]:
    """Return what was answered about some events, None where nothing was, and the rows whose answer is none.

    Parameters
    ----------
    column
        One value a row, as JSON has them; None where there is none.
    of_model
        The identity of the model that learns; empty: whatever it is.

    Raises
    ------
    TooWide
        Too many rows name too many different classes.
    """
    if column.count(None) == len(column):  # nearly always, and by far the fastest way to know
        return None, []
    ours = (None, of_model)
    rows = [
        row
        for row, value in enumerate(column)
        if type(value) is dict and "model_version" in value and (not of_model or value.get("of_model") in ours)
    ]
    found = [_answer_of(row, column[row]) for row in rows]
    answers = [each for each in found if each is not None and (each.probabilities or each.value == each.value)]
    bad = [row for row, each in zip(rows, found, strict=True) if each is None]
    return (_as_columns(answers, len(column)) if answers else None), bad


def _answer_of(row: int, given: dict[str, Any]) -> _Answer | None:
    """Return an answer as it was given, without probabilities and value where it says nothing; None if unusable."""
    version, probabilities, value = given["model_version"], given.get("probabilities"), given.get("value")
    if type(version) is not int or not 0 <= version <= LARGEST_VERSION:
        return None
    if probabilities is None:
        probabilities = {}
    elif type(probabilities) is not dict:
        return None
    elif None in probabilities.values():  # formats of columns have a place for every class in every row
        probabilities = {name: share for name, share in probabilities.items() if share is not None}
    if not _are_probabilities(probabilities):
        return None
    if value is None:
        value = np.nan
    elif type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:
        return None
    return _Answer(row, version, probabilities, float(value))


def _are_probabilities(given: dict[str, Any]) -> bool:
    if len(given) > MAXIMUM_CLASSES:
        return False
    return all(
        type(share) in (int, float) and 0 <= share <= MOST_PROBABLE and len(name) <= LONGEST_NAME
        for name, share in given.items()
    )


def _as_columns(answers: Sequence[_Answer], rows: int) -> Answered:
    classes = tuple(dict.fromkeys(name for each in answers for name in each.probabilities))
    check_cells(rows, len(classes), sum(len(each.probabilities) for each in answers))
    places = np.array([each.row for each in answers], np.intp)
    versions, values = np.full(rows, UNANSWERED, np.int64), np.full(rows, np.nan)
    versions[places], values[places] = [each.version for each in answers], [each.value for each in answers]
    probabilities = np.zeros((rows, len(classes)), np.float32)
    if classes:
        # By name: one version may give its classes in another order than the next.
        probabilities[places] = [[each.probabilities.get(name, 0.0) for name in classes] for each in answers]
    return Answered(versions, classes, probabilities, values)
