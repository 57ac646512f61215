"""What a serving process holds for its lifetime: the models that it serves, and what all routes share."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from anyio import CapacityLimiter
from starlette.requests import Request

from service.config import Settings
from service.errors import RequestInvalid
from service.monitoring.learning_metrics import trainer_is_up
from service.monitoring.status import Status
from service.rest.answers import Answers
from service.rest.served_model import ServedModel
from service.rest.served_models import ServedModels
from service.security.access import DEFAULT_MODEL
from service.security.limits_admission import Admission
from service.security.limits_rows import RowLimits

_log = structlog.get_logger("headrace.api")

_EVENT_THREADS = 40
_PREDICTION_THREADS = 4


def counts_folder(settings: Settings) -> Path:
    """Return where the processes of one server, known by its host and port, keep their counts."""
    return settings.resolved_publish_dir() / ".serve" / f"{socket.gethostname()}-{settings.serve.port}"


class Context:
    """What the routes share.

    Attributes
    ----------
    settings
        The whole configuration.
    served_models
        Follows which models there are.
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
        Threads for commands, which wait for a trainer, and for large predictions, which keep a core busy.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.declared()
        self.served_models = ServedModels(settings, counts_folder(settings))
        self.counts = self.served_models.counts
        self.draining = False
        self.started = time.time()
        self.admission = Admission(settings)
        self.limits = RowLimits(settings.limits)
        self.event_threads = CapacityLimiter(_EVENT_THREADS)
        self.prediction_threads = CapacityLimiter(_PREDICTION_THREADS)
        self._answers: Answers | None = None
        self._lock = threading.Lock()

    @property
    def models(self) -> Mapping[str, ServedModel]:
        """All that are served now, by name."""
        return self.served_models.by_name

    def model_of(self, request: Request) -> ServedModel:
        """Return the model that a request's path names.

        Raises
        ------
        RequestInvalid
            404 where there is none of that name.
        """
        name = request.path_params.get("model", DEFAULT_MODEL)
        # One that another process has just added is there from the moment on that its client was told so.
        model = self.models.get(name) or self.served_models.find(name)
        if model is None:
            known = ", ".join(self.models)
            raise RequestInvalid(f"there is no model {name[:100]!r}; there is {known}", 404, "model")
        return model

    def ready(self) -> bool:
        """Return whether every model can be asked and this process means to stay.

        One that was added can be out of order by itself; it must not take this process away from the others.
        """
        return not self.draining and all(
            model.serving.attached for model in self.models.values() if model.revision is None
        )

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
    def holding_rows(self, rows: int, model: ServedModel) -> Iterator[None]:
        """Count `rows` for a model among those that are being dealt with.

        Raises
        ------
        RequestInvalid
            503 while other requests hold too many.
        """
        self.admission.rows.take(rows, model=model.name)
        try:
            yield
        finally:
            self.admission.rows.give_back(rows, model.name)

    def refresh(self) -> None:
        """Look for newer parameters where looking takes longer than a request may. Called every now and then."""
        self.served_models.follow()
        self.admission.divide(len(self.models))
        for model in self.models.values():
            try:
                model.serving.refresh()
            # Whatever it is, the others are looked for all the same, and the next look may fare better.
            except Exception as error:  # noqa: BLE001
                _log.error("looking for newer parameters failed", model=model.name, exc_info=error)

    def close(self) -> None:
        """Let go of everything."""
        self.served_models.close()
        with self._lock:
            if self._answers is not None:
                self._answers.close()


def state_of(status: Status | None) -> str:
    """Return the trainer's state; ``down`` where none reports."""
    if status is None or (status.state != "stopped" and not trainer_is_up(status)):
        return "down"
    return status.state
