"""What a serving process holds for its lifetime: the models that it serves, and what all routes share."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from msgspec import Raw
from starlette.requests import Request

from consumers.source import NewRecord, Sink
from models.learner import Predictions
from service.checkpoints import CheckpointInfo, CheckpointStore
from service.config import ModelSettings, Settings
from service.decoding.columns import features_from_rows
from service.durability.model_identity import known_identity
from service.errors import RequestInvalid
from service.monitoring.learning_metrics import trainer_is_up
from service.monitoring.prediction_counts import PredictionCounts
from service.monitoring.status import Status, read_status
from service.predictor import Served, ServingModel
from service.rest.answers import Answers
from service.rest.coalescing import Coalescer, Rows
from service.rest.observations import observations
from service.rest.prediction_answers import ClassPrediction, NumberPrediction
from service.rest.prediction_requests import Asked
from service.rest.remembering import Remembering
from service.security.access import DEFAULT_MODEL
from service.security.limits_admission import Admission
from service.security.limits_rows import RowLimits
from service.wiring import ModelPaths, make_sink, model_paths

_EVENT_THREADS = 40
_PREDICTION_THREADS = 4


def counts_folder(settings: Settings) -> Path:
    """Return where the processes of one server, known by its host and port, keep their counts."""
    return settings.resolved_publish_dir() / ".serve" / f"{socket.gethostname()}-{settings.serve.port}"


class ServedModel:
    """One model as this process serves it. Threads may share it.

    Attributes
    ----------
    name, settings, paths
        Whose, how, and where.
    serving
        Answers predictions.
    coalescer
        Answers those of small requests, several at a time; belongs to the event loop.
    remembering
        Makes what is to be remembered of them durable; belongs to the event loop.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.settings: ModelSettings = settings.models[name]
        self.paths: ModelPaths = model_paths(settings, name)
        learner = "online" if self.settings.learner.kind == "online" else "microbatch"
        self.serving = ServingModel(self.paths.publication, self.paths.checkpoints, learner, self._identity)
        self.coalescer = Coalescer(self.predict)
        self.remembering = Remembering(self.sink)
        self._checkpoints = CheckpointStore(self.paths.checkpoints)
        self._all_settings = settings
        self._sink: Sink | None = None
        self._lock = threading.Lock()

    def predict(self, rows: Rows) -> tuple[Served, Predictions]:
        """Return predictions for decoded features, one mapping a row, and which parameters they come from.

        Raises
        ------
        FeatureInvalid
            A feature cannot be used.
        PublicationMissing
            There are parameters, but they cannot be reached now.
        """
        return self.serving.predict(features_from_rows(rows, self.settings.events))

    def observations(
        self,
        asked: Asked,
        features: Sequence[Raw | Mapping[str, Any]],
        served: Served,
        made: Sequence[ClassPrediction | NumberPrediction],
    ) -> list[NewRecord]:
        """Return what is to be remembered of some answers; see :func:`service.rest.observations.observations`."""
        keyed = self._all_settings.source.kind == "kafka"
        return observations(self.settings, asked, features, served, made, keyed=keyed)

    def sink(self) -> Sink:
        """Return where this model's events go. Made at the first call, which may wait for a broker.

        Raises
        ------
        SourceUnavailable, TopicMissing
            The log cannot be reached now; the next call tries again.
        """
        with self._lock:
            if self._sink is None:
                self._sink = make_sink(self._all_settings, self.name)
            return self._sink

    def status(self) -> Status | None:
        """Return what the trainer last reported; nothing where that was another model of the same name."""
        status = read_status(self.paths.status)
        return status if status is not None and status.of_model == self._identity() else None

    def _identity(self) -> str:
        return known_identity(self.paths.root)

    def checkpoints(self) -> Sequence[CheckpointInfo]:
        """Return the checkpoints that are kept, newest first."""
        return self._checkpoints.list()

    def close(self) -> None:
        """Let go of connections."""
        self.remembering.close()
        with self._lock:
            if self._sink is not None:
                self._sink.close()


class Context:
    """What the routes share.

    Attributes
    ----------
    settings
        The whole configuration.
    models
        By name.
    counts
        Predictions answered by this process and its siblings.
    draining
        Whether this process is about to stop: it still answers, but is not ready.
    started
        Unix seconds.
    admission
        What this process has taken on.
    limits
        How much may be in one request.
    event_threads, prediction_threads
        Threads for events, which may wait for a broker, and for large predictions, which keep a core busy: neither may
        use up those of the others.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models: Mapping[str, ServedModel] = {name: ServedModel(settings, name) for name in settings.models}
        self.counts = PredictionCounts(counts_folder(settings), list(self.models))
        self.draining = False
        self.started = time.time()
        self.admission = Admission(settings)
        self.limits = RowLimits(settings.limits)
        self.event_threads = CapacityLimiter(_EVENT_THREADS)
        self.prediction_threads = CapacityLimiter(_PREDICTION_THREADS)
        self._answers: Answers | None = None
        self._lock = threading.Lock()

    def model_of(self, request: Request) -> ServedModel:
        """Return the model that a request's path names.

        Raises
        ------
        RequestInvalid
            404 where there is none of that name.
        """
        name = request.path_params.get("model", DEFAULT_MODEL)
        model = self.models.get(name)
        if model is None:
            known = ", ".join(self.models)
            raise RequestInvalid(f"there is no model {name[:100]!r}; there is {known}", 404, "model")
        return model

    def ready(self) -> bool:
        """Return whether every model can be asked and this process means to stay."""
        return not self.draining and all(model.serving.attached for model in self.models.values())

    def statuses(self) -> Mapping[str, Status | None]:
        """Return the trainers' last reports."""
        return {name: model.status() for name, model in self.models.items()}

    def served(self) -> Mapping[str, tuple[int, float | None]]:
        """Return which version of each model is served, and when it was published."""
        found = {name: model.serving.served() for name, model in self.models.items()}
        return {name: (served.version, served.published_at) for name, served in found.items() if served is not None}

    def answers(self) -> Answers:
        """Return the answers given under an ``Idempotency-Key``. Made at the first call: many clients never send one.

        Raises
        ------
        StorageFailed
            The database cannot be opened.
        """
        with self._lock:
            if self._answers is None:
                # A second append under one key does nothing to the embedded log; Kafka must be kept from it for as
                # long as the first may still be under way.
                pending = 0.0 if self.settings.source.kind == "log" else 2 * self.settings.kafka.delivery_timeout
                self._answers = Answers(self.settings.data_dir / "answers.sqlite", pending_seconds=pending)
            return self._answers

    @contextlib.contextmanager
    def holding_rows(self, rows: int) -> Iterator[None]:
        """Count `rows` among those that are being dealt with.

        Raises
        ------
        RequestInvalid
            503 while other requests hold too many.
        """
        self.admission.rows.take(rows)
        try:
            yield
        finally:
            self.admission.rows.give_back(rows)

    def refresh(self) -> None:
        """Look for newer parameters where looking takes longer than a request may. Called every now and then."""
        for model in self.models.values():
            model.serving.refresh()

    def close(self) -> None:
        """Let go of everything."""
        for model in self.models.values():
            model.close()
        with self._lock:
            if self._answers is not None:
                self._answers.close()


def state_of(status: Status | None) -> str:
    """Return the trainer's state; ``down`` where none reports."""
    if status is None or (status.state != "stopped" and not trainer_is_up(status)):
        return "down"
    return status.state
