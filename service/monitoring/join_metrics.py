"""The metrics of the label join, made of the trainers' statuses like all learning metrics.

A model whose join is turned off has none of them.
"""

from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from service.joining.outcomes import OUTCOMES
from service.monitoring.histograms import cumulative
from service.monitoring.status import Status

_WAITING = {
    "observations": ("join_observations", "Observations that wait for their label."),
    "labels": ("join_labels", "Labels that wait for their observation, or for its time to be up."),
    "bytes": ("join_bytes", "Bytes that what waits takes, in memory and in files."),
    "oldest_seconds": ("join_oldest_seconds", "Seconds of the log that the oldest observation waits already."),
    "matched_share": (
        "join_matched_share",
        "Share of the observations whose wait ended that met their label.",
    ),
}


def join_metrics(statuses: Sequence[Status]) -> Iterator[Metric]:
    """Yield the families of all models that join labels."""
    joins = {status.model: status.join for status in statuses if status.join is not None}
    if not joins:
        return
    total = CounterMetricFamily(
        "headrace_label_join", "What became of observations and labels.", labels=["model", "outcome"]
    )
    delays = HistogramMetricFamily(
        "headrace_label_delay_seconds", "Seconds from an observation to the label that it met.", labels=["model"]
    )
    for model, join in joins.items():
        for outcome in OUTCOMES:
            total.add_metric([model, outcome], join.outcomes.get(outcome, 0))
        delays.add_metric([model], cumulative(join.delays), join.delays.sum)
    yield from (total, delays)
    for field, (name, text) in _WAITING.items():
        gauge = GaugeMetricFamily(f"headrace_{name}", text, labels=["model"])
        for model, join in joins.items():
            value = getattr(join, field)
            if value is not None:
                gauge.add_metric([model], value)
        yield gauge
