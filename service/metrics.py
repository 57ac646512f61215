"""``/metrics``: what the trainers report, and what this server counts, complete whatever the number of its processes.

Several serving processes share one port, so a scrape reaches any one of them. Each therefore writes its counts into a
memory-mapped file of its own (prometheus_client's multiprocess mode), and whoever is scraped adds up all files. That
mode is chosen by an environment variable at the moment when prometheus_client is imported: :mod:`service.serving`
sets it before it imports this module, and no other module but :mod:`service.learning_metrics` imports the library.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Metric, start_http_server, values
from prometheus_client import Histogram as ClientHistogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.errors import ConfigurationInvalid
from service.histograms import Histogram, learning_histograms
from service.learning_metrics import LearningCollector, StatusSource
from service.status import Status, read_status

__all__ = ["CONTENT_TYPE_LATEST", "Histogram", "ServerMetrics", "learning_histograms", "start_metrics_server"]

_PREDICTION_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

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


class ServerMetrics:
    """All metrics of a serving process. Threads may share it.

    Parameters
    ----------
    statuses
        The trainers' statuses.
    served
        What this process serves.
    """

    def __init__(self, statuses: StatusSource, served: ServedSource) -> None:
        self._registry = CollectorRegistry()
        shared = values.ValueClass is not values.MutexValue
        # In multiprocess mode the files are the truth: registering the metrics too would count this process twice.
        own = None if shared else self._registry
        self._predictions = Counter(
            "headrace_predictions",
            "Predictions answered, by HTTP status; a refused request counts once, whatever it asked for.",
            ["model", "status"],
            registry=own,
        )
        self._seconds = ClientHistogram(
            "headrace_prediction_seconds",
            "Seconds from a prediction request's arrival until its answer was ready.",
            ["model"],
            buckets=_PREDICTION_BUCKETS,
            registry=own,
        )
        if shared:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._registry.register(LearningCollector(statuses))
        self._registry.register(ServedCollector(served))

    def predicted(self, model: str, status: int, count: int, seconds: float) -> None:
        """Count the answer to one prediction request: its HTTP status, how many predictions, how long it took."""
        self._predictions.labels(model, str(status)).inc(count)
        self._seconds.labels(model).observe(seconds)

    def render(self) -> bytes:
        """Return Prometheus' text format. Reads files: not for an event loop."""
        return generate_latest(self._registry)


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
