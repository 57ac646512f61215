"""The learning metrics: rendered from the trainers' status files, so any process can answer for all models.

A model without a status yet has only ``headrace_trainer_up 0``.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from service.monitoring.contest_metrics import contest_metrics
from service.monitoring.histograms import cumulative
from service.monitoring.join_metrics import join_metrics
from service.monitoring.status import Status

LEARNERS = ("microbatch", "online")
"""Values of the label ``learner``, rendered even at 0 so that a rate over them is never missing."""

PAUSES = ("dead_letters", "command")
"""Values of the label ``reason`` of a pause, rendered even at 0 so that an alert on them is never missing."""

WINDOWS = {"stream": "stream", "window": "recent"}
"""Scope of a score in the status → value of the metrics' label ``window``."""

SILENT_AFTER = 15.0
"""Seconds without a new status after which a trainer counts as down; it writes several times a second."""

StatusSource = Callable[[], Mapping[str, Status | None]]
"""Gives, for each configured model, its trainer's newest status."""

_COUNTERS = {
    "events_consumed": "Events read off the log, unusable ones included.",
    "unlabelled": "Events without a label.",
    "rollbacks": "Times that the learner of an earlier version came back.",
    "halvings": "Times that the bound on a microbatch was halved for the device's memory.",
    "dead_letters_unsent_pruned": "Dead letters that had to make room before they were forwarded.",
    "duplicates": "Events that were not learned because they had been learned before.",
    "drift": "Times that drift was certain in the served learner's errors.",
    "limited": "Events that were scored and not learned because their source had had its share.",
}
_LABELLED_COUNTERS = {
    "events_learned": ("learner", "Events learned, each once, for the learner that was being served."),
    "updates": ("learner", "Updates of the parameters."),
    "updates_skipped": ("reason", "Updates that were masked instead of applied."),
    "dead_letters": ("reason", "Events that could not be used."),
}
_TEACHING = {
    "taught": "Events learned of which the teacher said something.",
    "untaught": "Events of which the teacher was to say something, but could not be asked.",
}
_EXPERTS = {
    "weight": "Share of an expert in the answers, where several are mixed.",
    "loss": "An expert's own loss of late, where several are mixed.",
    "asleep": "1 while an expert sleeps: it would hardly be missed, or there is no time for it.",
}
_AMONG_EXPERTS = "keys"  # what keys are called in a status
_KEYS = {
    "known": ("keys_known", "Keys that have a small model each, at hand or spilled.", GaugeMetricFamily),
    "resident": ("keys_resident", "Keys whose small model is at hand.", GaugeMetricFamily),
    "spilled": ("keys_spilled", "Keys whose small model is on disk.", GaugeMetricFamily),
    "evictions": ("keys_evictions", "Small models that were spilled, each time.", CounterMetricFamily),
    "forgotten": ("keys_forgotten", "Spilled small models that had to be forgotten.", CounterMetricFamily),
}
_PLAN = {
    "target_events": ("microbatch_target_events", "Events that the next microbatch is to have at most."),
    "effort": ("effort_level", "Effort with which the next microbatch is learned: 0 is full, more is less."),
    "update_fixed_seconds": ("update_fixed_seconds", "What any update costs at this effort, as fitted."),
    "update_event_seconds": ("update_event_seconds", "What each of its events costs besides, as fitted."),
    "capacity": ("capacity_events_per_second", "Events a second that can be learned at this effort."),
    "arrivals": ("arrivals_events_per_second", "Events a second that come."),
    "waiting": ("waiting_events", "Events that have come and are not learned yet, as far as is known."),
    "objective_seconds": ("freshness_objective_seconds", "Freshness that is to be held."),
    "feasible": ("freshness_objective_feasible", "Whether it can be held under this load."),
}
# A gauge whose name ends in _count would read as a histogram's.
_COUNTS = {"count": "events", "scored": "events_scored"}
_HISTOGRAMS = {
    "microbatch_events": "Events in a microbatch.",
    "microbatch_wait_seconds": "Seconds that a microbatch's oldest event waited for it to fill.",
    "update_seconds": "Seconds that scoring and learning a microbatch took.",
    "freshness_seconds": "Seconds from a record's timestamp in the log until the parameters with it were served.",
    "checkpoint_seconds": "Seconds that writing a checkpoint took.",
}


def trainer_is_up(status: Status | None) -> bool:
    """Return whether a trainer wrote `status` just now and meant to go on."""
    return status is not None and status.state != "stopped" and time.time() - status.written_at < SILENT_AFTER


class LearningCollector:
    """Makes metric families of the trainers' statuses at every scrape.

    Parameters
    ----------
    statuses
        Where the statuses come from.
    """

    def __init__(self, statuses: StatusSource) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is depends on the models' tasks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all families of all models."""
        found = self._statuses()
        up = GaugeMetricFamily("headrace_trainer_up", "Whether a trainer reports for the model.", labels=["model"])
        for model, status in found.items():
            up.add_metric([model], trainer_is_up(status))
        yield up
        statuses = [status for status in found.values() if status is not None]
        yield from _counters(statuses)
        yield from _gauges(statuses)
        yield from _plans(statuses)
        yield from _experts(statuses)
        yield from _keys(statuses)
        yield from _scores(statuses)
        yield from contest_metrics(statuses)
        yield from join_metrics(statuses)
        yield from _histograms(statuses)


def _counters(statuses: list[Status]) -> Iterator[Metric]:
    for name, text in _COUNTERS.items():
        plain = CounterMetricFamily(f"headrace_{name}", text, labels=["model"])
        for status in statuses:
            plain.add_metric([status.model], getattr(status, name))
        yield plain
    for name, (label, text) in _LABELLED_COUNTERS.items():
        family = CounterMetricFamily(f"headrace_{name}", text, labels=["model", label])
        for status in statuses:
            zeros = dict.fromkeys(LEARNERS, 0) if label == "learner" else {}
            for value, count in (zeros | getattr(status, name)).items():
                family.add_metric([status.model, value], count)
        yield family
    for name, text in _TEACHING.items():
        family = CounterMetricFamily(f"headrace_{name}", text, labels=["model", "teacher"])
        for status in statuses:
            if status.teacher is not None:
                family.add_metric([status.model, status.teacher.model], getattr(status.teacher, name))
        yield family


def _gauges(statuses: list[Status]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "headrace_consumer_lag_events", "Records in the log that are not learned yet.", labels=["model", "partition"]
    )
    active = GaugeMetricFamily(
        "headrace_learner_active", "Whether this learner is the one being served.", labels=["model", "learner"]
    )
    losses = GaugeMetricFamily(
        "headrace_canary_loss",
        "Loss on the last events when they were looked at: of the parameters, and of the newest good checkpoint's.",
        labels=["model", "parameters"],
    )
    memory = GaugeMetricFamily("headrace_device_memory_bytes", "Bytes held on the accelerator.", labels=["model"])
    unsent = GaugeMetricFamily(
        "headrace_dead_letters_unsent", "Dead letters that wait to be forwarded.", labels=["model"]
    )
    paused = GaugeMetricFamily("headrace_paused", "Whether learning pauses, and why.", labels=["model", "reason"])
    age = GaugeMetricFamily("headrace_checkpoint_age_seconds", "Seconds since the newest checkpoint.", labels=["model"])
    for status in statuses:
        for partition, events in status.lag.items():
            lag.add_metric([status.model, partition], events)
        for learner in LEARNERS:
            active.add_metric([status.model, learner], learner == status.learner)
        _add_losses(losses, status)
        memory.add_metric([status.model], status.device_memory_bytes)
        unsent.add_metric([status.model], status.dead_letters_unsent)
        for reason in {*PAUSES, *([status.paused.reason] if status.paused else [])}:
            paused.add_metric([status.model, reason], status.paused is not None and status.paused.reason == reason)
        if status.checkpoint is not None:
            age.add_metric([status.model], max(0.0, time.time() - status.checkpoint.written_at))
    yield from (lag, active, losses, memory, unsent, paused, age)


def _plans(statuses: list[Status]) -> Iterator[Metric]:
    """Yield what adaptive microbatches decide by, and decide."""
    for field, (name, text) in _PLAN.items():
        family = GaugeMetricFamily(f"headrace_{name}", text, labels=["model"])
        for status in statuses:
            if status.microbatch is not None:
                family.add_metric([status.model], getattr(status.microbatch, field))
        yield family


def _experts(statuses: list[Status]) -> Iterator[Metric]:
    """Yield a gauge for each measure of the experts of a mixture."""
    for measure, text in _EXPERTS.items():
        family = GaugeMetricFamily(f"headrace_expert_{measure}", text, labels=["model", "expert"])
        for status in statuses:
            for expert, measures in status.experts.items():
                if measure in measures:
                    family.add_metric([status.model, expert], measures[measure])
        yield family


def _keys(statuses: list[Status]) -> Iterator[Metric]:
    """Yield what there is of keys, for models that have any."""
    for measure, (name, text, make) in _KEYS.items():
        family = make(f"headrace_{name}", text, labels=["model"])
        for status in statuses:
            found = status.experts.get(_AMONG_EXPERTS, {})
            if measure in found:
                family.add_metric([status.model], found[measure])
        yield family


def _add_losses(losses: GaugeMetricFamily, status: Status) -> None:
    found = status.canary
    if found is None:
        return
    for parameters, loss in (("current", found.loss), ("reference", found.reference_loss)):
        if loss is not None:
            losses.add_metric([status.model, parameters], loss)


def _scores(statuses: list[Status]) -> Iterator[Metric]:
    """Yield one gauge a score (``prequential_accuracy``, ``prequential_majority_accuracy`` …), as the task has them."""
    families: dict[str, Metric] = {}
    for status in statuses:
        for scope, scores in status.scores.items():
            for score, value in scores.items():
                if value is None:
                    continue
                called = _COUNTS.get(score, score)
                name = f"headrace_prequential_{called}"
                text = f"Prequential {called.replace('_', ' ')}: scored before learning, over the stream or recently."
                family = families.setdefault(name, GaugeMetricFamily(name, text, labels=["model", "window"]))
                family.add_sample(name, {"model": status.model, "window": WINDOWS.get(scope, scope)}, value)
    yield from families.values()


def _histograms(statuses: list[Status]) -> Iterator[Metric]:
    for name, text in _HISTOGRAMS.items():
        family = HistogramMetricFamily(f"headrace_{name}", text, labels=["model"])
        for status in statuses:
            if name in status.histograms:
                found = status.histograms[name]
                family.add_metric([status.model], cumulative(found), found.sum)
        yield family
