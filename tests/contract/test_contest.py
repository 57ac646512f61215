"""A champion with challengers keeps to the contract of ``models/checks.py``, as the learner that it is taken for."""

from collections.abc import Callable
from functools import partial

import pytest

from models.checks import yield_checks
from models.contest import Contest
from models.contest_rules import FIRST, ContestRules
from models.examples import Task
from models.learner import Learner, LearnerOptions
from models.registry import create_learner


def of_the_beginning(task: Task) -> Learner:
    """Return a contest whose challenger answers a share of the requests."""
    return _contest(task, ContestRules(answers={"other": 0.3}, begin_after=32), "linear", "mlp")


def promoted(task: Task) -> Learner:
    """Return one in which a challenger was promoted over one that learns event by event, and a third learns too."""
    contest = _contest(task, ContestRules(begin_after=32, restart_events=64), "online", "linear", "last")
    contest.promote("other")
    return contest


def _contest(task: Task, rules: ContestRules, *kinds: str) -> Contest:
    names = (FIRST, "other", "third")
    options = {name: LearnerOptions(kind=kind, device="cpu") for name, kind in zip(names, kinds, strict=False)}
    return Contest(options, task, lambda each: create_learner(each, task), rules)


LEARNING = ("check_it_learns", "check_it_learns_categories")
"""That the champion learns is checked where it is alone."""

CASES = [
    pytest.param(check, id=f"{make.__name__}-{task}-{check.func.__name__.removeprefix('check_')}")
    for make, tasks in ((of_the_beginning, (Task.MULTICLASS, Task.REGRESSION)), (promoted, (Task.BINARY,)))
    for task in tasks
    for check in yield_checks(partial(make, task))
    if check.func.__name__ not in LEARNING
]


@pytest.mark.parametrize("check", CASES)
def test_a_contest_keeps_the_contract(check: Callable[[], None]) -> None:
    """With challengers, the service would lose, double or misreport what was learned."""
    check()
