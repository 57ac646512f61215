"""The metrics of a champion and its challengers, made of the trainers' statuses like all learning metrics.

A model without challengers has none of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from service.monitoring.status import Status

_SCORES = ("scored", "loss", "log_loss", "accuracy", "mae", "rmse")
"""Scores of contenders that are rendered; the state has all."""

_WINDOWS = {"stream": "stream", "window": "recent"}

_TESTS = {
    "events": ("compared_events", "Events on which a challenger was compared in the test that runs."),
    "significant": ("significant", "Whether a challenger is significantly better than the champion, at every moment."),
    "significant_events": ("significant_events", "Compared events for which it has been so without a break."),
}
_BOUNDS = {"difference": "mean", "low": "low", "high": "high"}


def contest_metrics(statuses: Sequence[Status]) -> Iterator[Metric]:
    """Yield the families of all models that have challengers."""
    contests = {status.model: status.contest for status in statuses if status.contest is not None}
    if not contests:
        return
    for name, text in (
        ("promotions", "Times that a challenger became champion, and back."),
        ("put_out", "Challengers that were put out because they failed."),
    ):
        counter = CounterMetricFamily(f"headrace_challenger_{name}", text, labels=["model"])
        for model, contest in contests.items():
            counter.add_metric([model], contest[name])
        yield counter
    yield from _standing(contests)
    yield from _scores(contests)
    yield from _tests(contests)


def _contenders(contests: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """Yield the labels, model and contender, and the report of each."""
    for model, contest in contests.items():
        for name, report in contest["contenders"].items():
            yield [model, name], report


def _standing(contests: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    labels = ["model", "contender"]
    champion = GaugeMetricFamily("headrace_contender_champion", "Whether this one is the champion.", labels=labels)
    out = GaugeMetricFamily("headrace_contender_out", "Whether this one was put out.", labels=labels)
    share = GaugeMetricFamily("headrace_contender_share", "Share of the requests that it answers.", labels=labels)
    cost = GaugeMetricFamily(
        "headrace_contender_event_seconds", "What an event costs it to learn, in this trainer's life.", labels=labels
    )
    for of, report in _contenders(contests):
        champion.add_metric(of, report["role"] == "champion")
        out.add_metric(of, report["role"] == "out")
        share.add_metric(of, report["share"])
        if report["seconds_per_event"] is not None:
            cost.add_metric(of, report["seconds_per_event"])
    yield from (champion, out, share, cost)


def _scores(contests: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    for score in _SCORES:
        family = GaugeMetricFamily(
            f"headrace_contender_{'events_scored' if score == 'scored' else score}",
            f"A contender's own prequential {score.replace('_', ' ')}, over the stream or recently.",
            labels=["model", "contender", "window"],
        )
        for of, report in _contenders(contests):
            for scope, scores in report["scores"].items():
                if score in scores:
                    family.add_metric([*of, _WINDOWS.get(scope, scope)], scores[score])
        if family.samples:
            yield family


def _tests(contests: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    found = [(of, report["test"]) for of, report in _contenders(contests) if report["test"] is not None]
    for key, (name, text) in _TESTS.items():
        family = GaugeMetricFamily(f"headrace_challenger_{name}", text, labels=["model", "challenger"])
        for of, test in found:
            family.add_metric(of, test[key])
        yield family
    difference = GaugeMetricFamily(
        "headrace_challenger_difference",
        "The champion's mean loss less the challenger's on the same events, and bounds that hold at every moment.",
        labels=["model", "challenger", "bound"],
    )
    for of, test in found:
        for key, bound in _BOUNDS.items():
            difference.add_metric([*of, bound], test[key])
    yield difference
