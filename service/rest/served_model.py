"""One model as a serving process has it: answers predictions, and takes its events.

On the path it stands between the routes and the parameters, and between the routes and the log.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from anyio import CapacityLimiter
from msgspec import Raw

from consumers.source import NewRecord, Sink
from models.learner import Predictions
from service.checkpoints import CheckpointInfo, CheckpointStore
from service.config import ModelSettings, Settings
from service.decoding.columns import features_from_rows
from service.durability.model_identity import known_identity
from service.monitoring.status import Status, read_status
from service.operating.checkpoint_records import checkpoint_records
from service.predictor import Served, ServingModel
from service.rest.arms import keys_of
from service.rest.coalescing import Coalescer, Keys, Rows
from service.rest.observations import observations
from service.rest.prediction_answers import ClassPrediction, InstanceId, NumberPrediction
from service.rest.prediction_requests import Asked
from service.rest.remembering import Remembering
from service.wiring import ModelPaths, make_sink, model_paths

_EVENT_THREADS = 40
"""Over all models there are as many as requests that are let in, ``limits.max_concurrent``."""

_LARGE_PREDICTIONS = 3


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
    event_threads, large_predictions
        Threads for its events, which may wait for a broker, and how many of those for large predictions it may have:
        neither may use up those of the others, be they requests of another kind or of another model.
    revision
        Of its settings, where it was added while the service ran; None where the configuration declares it.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.settings: ModelSettings = settings.models[name]
        self.revision: str | None = settings.added.get(name)
        self.paths: ModelPaths = model_paths(settings, name)
        learner = "online" if self.settings.learner.kind == "online" else "microbatch"
        self.serving = ServingModel(self.paths.publication, self.paths.checkpoints, learner, self._identity)
        self.coalescer = Coalescer(self.predict, self.predict)
        self.remembering = Remembering(self.sink)
        self._checkpoints = CheckpointStore(self.paths.checkpoints)
        self.event_threads = CapacityLimiter(_EVENT_THREADS)
        self.large_predictions = CapacityLimiter(_LARGE_PREDICTIONS)
        self._all_settings = settings
        self._sink: Sink | None = None
        self._lock = threading.Lock()

    def keys_of(self, rows: Rows, ids: Sequence[InstanceId]) -> Keys | None:
        """Return what says who answers each row; None, for the champion, where no challenger answers any."""
        return keys_of(self.name, rows, ids) if self.settings.contest.answers else None

    def predict(self, rows: Rows, keys: Keys | None = None) -> tuple[Served, Predictions]:
        """Return predictions for decoded features, one mapping a row, and which parameters they come from.

        Parameters
        ----------
        rows
            Features.
        keys
            What :meth:`keys_of` returned.

        Raises
        ------
        FeatureInvalid
            A feature cannot be used.
        PublicationMissing
            There are parameters, but they cannot be reached now.
        """
        return self.serving.predict(features_from_rows(rows, self.settings.events), keys)

    def observations(
        self,
        asked: Asked,
        features: Sequence[Raw | Mapping[str, Any]],
        served: Served,
        made: Sequence[ClassPrediction | NumberPrediction],
    ) -> list[NewRecord]:
        """Return what is to be remembered of some answers; see :func:`service.rest.observations.observations`."""
        keyed = self._all_settings.source.kind == "kafka"
        of_model = self._identity()
        return observations(self.settings, asked, features, served, made, keyed=keyed, of_model=of_model)

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

    @property
    def store(self) -> CheckpointStore:
        """The checkpoints, to read."""
        return self._checkpoints

    def checkpoint_records(self) -> Sequence[dict[str, Any]]:
        """Return them with their names, and of what and whence each is."""
        return checkpoint_records(self._checkpoints)

    def close(self) -> None:
        """Let go of connections."""
        self.remembering.close()
        with self._lock:
            if self._sink is not None:
                self._sink.close()
