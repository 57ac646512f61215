"""``/metrics``: what the trainers report, and what this server counts, complete whatever the number of its processes.

On the path it stands at the very end: it reads what the trainer and the serving processes left in files, and changes
nothing. A server renders all of it; a trainer's own port, what the trainers report.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.errors import ConfigurationInvalid
from service.monitoring.histograms import Histogram, cumulative, learning_histograms
from service.monitoring.learning_metrics import LearningCollector, StatusSource
from service.monitoring.prediction_counts import Counted
from service.monitoring.status import Status, read_status

__all__ = ["CONTENT_TYPE_LATEST", "Histogram", "learning_histograms", "render_metrics", "start_metrics_server"]

Served = tuple[int, float | None]
"""The model version being served, and Unix seconds at which it was published (None: not published)."""

ServedSource = Callable[[], Mapping[str, Served]]


class ServedCollector:
    """Renders which version of each model is served, and how old it is."""

    def __init__(self, served: ServedSource) -> None:
        self._served = served

    def describe(self) -> Iterable[Metric]:
        """Return nothing: models are known only at a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the version and its age for each model that is served."""
        version = GaugeMetricFamily("headrace_model_version", "Updates behind the served parameters.", labels=["model"])
        age = GaugeMetricFamily(
            "headrace_model_age_seconds", "Seconds since the served parameters were published.", labels=["model"]
        )
        for model, (number, published_at) in self._served().items():
            version.add_metric([model], number)
            if published_at is not None:
                age.add_metric([model], max(0.0, time.time() - published_at))
        yield from (version, age)


class PredictionCollector:
    """Renders what all processes of a server have counted."""

    def __init__(self, counted: Callable[[], Mapping[str, Counted]]) -> None:
        self._counted = counted

    def describe(self) -> Iterable[Metric]:
        """Return nothing: models are known only at a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the predictions by status and the histogram of their seconds."""
        predictions = CounterMetricFamily(
            "headrace_predictions",
            "Predictions answered, by HTTP status; a refused request counts once, whatever it asked for.",
            labels=["model", "status"],
        )
        seconds = HistogramMetricFamily(
            "headrace_prediction_seconds",
            "Seconds from a prediction request's arrival until its answer was ready.",
            labels=["model"],
        )
        for model, counted in self._counted().items():
            for status, count in counted.by_status.items():
                predictions.add_metric([model, status], count)
            seconds.add_metric([model], cumulative(counted.seconds), counted.seconds.sum)
        yield from (predictions, seconds)


def render_metrics(statuses: StatusSource, served: ServedSource, counted: Callable[[], Mapping[str, Counted]]) -> bytes:
    """Return everything in Prometheus' text format. Reads files: not for an event loop."""
    registry = CollectorRegistry()
    registry.register(LearningCollector(statuses))
    registry.register(ServedCollector(served))
    registry.register(PredictionCollector(counted))
    return generate_latest(registry)


class MetricsServer:
    """A small HTTP server with nothing but ``/metrics``, in a thread of the trainer's process."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def start_metrics_server(port: int, statuses: StatusSource, host: str = "127.0.0.1") -> MetricsServer:
    """Serve the learning metrics of `statuses` at ``http://host:port/metrics``; port 0 takes a free one.

    Raises
    ------
    ConfigurationInvalid
        The port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(LearningCollector(statuses))
    registry.register(ServedCollector(lambda: _versions(statuses)))
    try:
        server, _ = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise ConfigurationInvalid(
            f"train.metrics_port: {port} cannot be listened on at {host} ({error}); name a free port, or 0 for any"
        ) from error
    return MetricsServer(server)


def _versions(statuses: StatusSource) -> dict[str, Served]:
    """Return what a trainer knows of its own versions: their numbers; when they were published, servers know."""
    return {model: (status.version, None) for model, status in statuses().items() if status is not None}


def statuses_from_files(paths: Mapping[str, Path]) -> StatusSource:
    """Return a source that reads each model's status file anew."""

    def read() -> Mapping[str, Status | None]:
        return {model: read_status(path) for model, path in paths.items()}

    return read
