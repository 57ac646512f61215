"""Challengers in /metrics: what an alert on one that is better would look at."""

from collections.abc import Iterator

from prometheus_client import Metric

from benchmarks.challengers import OTHER, equal, stream
from models.contest import Contest
from models.contest_rules import FIRST, ContestRules
from models.examples import Task
from models.registry import create_learner
from service.monitoring.contest_metrics import contest_metrics
from service.monitoring.status import Status


def status_with(contest: Contest | None) -> Status:
    """Return the status of a model."""
    found = None if contest is None else contest.status().contest
    return Status(
        model="m", epoch=1, pid=1, written_at=0.0, state="idle", contest=None if found is None else dict(found)
    )


def samples(metrics: Iterator[Metric]) -> dict[tuple[str, ...], float]:
    """Return samples by their names and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in metrics for sample in family.samples
    }


def test_how_contenders_stand_is_in_the_metrics() -> None:
    """Nobody would be told that a challenger is better, or that one is gone."""
    rules = ContestRules(begin_after=0, answers={OTHER: 0.25})
    for task, score in ((Task.BINARY, "log_loss"), (Task.REGRESSION, "mae")):
        contest = Contest(equal(0), task, lambda each, task=task: create_learner(each, task), rules)  # type: ignore[misc]  # mypy takes no defaults
        for place in range(4):
            contest.learn(stream(task, 0, place))
        found = samples(contest_metrics([status_with(contest)]))
        assert found["headrace_contender_champion", FIRST, "m"] == 1
        assert found["headrace_contender_share", OTHER, "m"] == 0.25
        assert found["headrace_challenger_compared_events", OTHER, "m"] == 64 * (3 if task is Task.BINARY else 2)
        assert found[f"headrace_contender_{score}", FIRST, "m", "recent"] > 0
        low, mean, high = (found["headrace_challenger_difference", *sorted((bound, OTHER, "m"))] for bound in BOUNDS)
        assert low < mean < high
        contest.put_out(OTHER, "slow")
        found = samples(contest_metrics([status_with(contest)]))
        assert found["headrace_contender_out", OTHER, "m"] == 1
        assert found["headrace_challenger_put_out_total", "m"] == 1
        assert ("headrace_challenger_compared_events", OTHER, "m") not in found


BOUNDS = ("low", "mean", "high")


def test_a_model_without_challengers_has_none_of_them() -> None:
    """Every scrape would carry families that mean nothing."""
    assert list(contest_metrics([status_with(None)])) == []
