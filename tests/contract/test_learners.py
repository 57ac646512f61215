"""Every learner of the registry keeps to the contract of ``models/checks.py``, for every task that it knows."""

from collections.abc import Callable

import pytest

from models.checks import yield_checks
from models.examples import Task
from models.experts import EXPERTS
from models.learner import Learner, LearnerOptions
from models.networks import NETWORKS
from models.registry import LEARNERS, create_learner

# What stands in a table under two names is not tested twice.
TABLES = (LEARNERS, NETWORKS, EXPERTS)
KINDS = dict.fromkeys(kind for table in TABLES for kind in {made: kind for kind, made in table.items()}.values())

NUMBERS, CATEGORIES = "check_it_learns", "check_it_learns_categories"
LEARNS_NOTHING = {task: {NUMBERS, CATEGORIES} for task in Task}
BLIND: dict[str, dict[Task, set[str]]] = {
    # Only of numbers, and only by repeating: a category's last or mean number it knows, what follows from others not.
    "recall": {**LEARNS_NOTHING, Task.REGRESSION: {NUMBERS}},
    # Naive Bayes over strings; of two classes they tell enough in the stream whose labels follow from numbers as well.
    "bayes": {Task.BINARY: set(), Task.MULTICLASS: {NUMBERS}, Task.REGRESSION: {NUMBERS, CATEGORIES}},
    # These take no notice of features: nobody can expect more than that they keep the rest of the contract.
    "last": LEARNS_NOTHING,
    "prior": LEARNS_NOTHING,
}
"""Kind → task → what it cannot learn, being made for something else."""


def cases() -> list[object]:
    """Return every check for every learner and task, by names that say which."""

    def factory(kind: str, task: Task) -> Callable[[], Learner]:
        return lambda: create_learner(LearnerOptions(kind=kind, device="cpu"), task)

    return [
        pytest.param(check, id=f"{kind}-{task}-{check.func.__name__.removeprefix('check_')}")
        for kind in KINDS
        for task in Task
        for check in yield_checks(factory(kind, task))
        if check.func.__name__ not in BLIND.get(kind, {}).get(task, ())
    ]


@pytest.mark.parametrize("check", cases())
def test_a_learner_keeps_the_contract(check: Callable[[], None]) -> None:
    """The service would lose, double or misreport what was learned with this learner."""
    check()
