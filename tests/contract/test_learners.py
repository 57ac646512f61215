"""Every learner of the registry keeps to the contract of ``models/checks.py``, for every task that it knows."""

from collections.abc import Callable

import pytest

from models.checks import yield_checks
from models.examples import Task
from models.learner import Learner, LearnerOptions
from models.networks import NETWORKS
from models.registry import LEARNERS, create_learner

# An alias, such as auto for the network that it stands for, is not tested twice.
KINDS = (*LEARNERS, *{network: kind for kind, network in NETWORKS.items()}.values(), "leaves", "rls", "knn", "auto")


def cases() -> list[object]:
    """Return every check for every learner and task, by names that say which."""

    def factory(kind: str, task: Task) -> Callable[[], Learner]:
        return lambda: create_learner(LearnerOptions(kind=kind, device="cpu"), task)

    return [
        pytest.param(check, id=f"{kind}-{task}-{check.func.__name__.removeprefix('check_')}")
        for kind in KINDS
        for task in Task
        for check in yield_checks(factory(kind, task))
    ]


@pytest.mark.parametrize("check", cases())
def test_a_learner_keeps_the_contract(check: Callable[[], None]) -> None:
    """The service would lose, double or misreport what was learned with this learner."""
    check()
