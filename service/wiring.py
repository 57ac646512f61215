"""Settings → the objects that they name: which source, which sink, which folders. One registry for each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consumers.dead_letter_forwarding import Forwarder
from consumers.dead_letters import DeadLetters
from consumers.kafka import KafkaOptions, KafkaSink, KafkaSource
from consumers.kafka_topics import create_topic
from consumers.log import LogSink, LogSource
from consumers.source import ALL, Positions, Share, Sink, Source
from service.config import Settings
from service.decoding.avro_events import Schemas
from service.durability.model_identity import known_identity
from service.events import EventDecoder


@dataclass(frozen=True, slots=True)
class ModelPaths:
    """Where one model's files are.

    Attributes
    ----------
    root
        Everything durable of this model.
    publication
        What serving processes map; volatile.
    """

    root: Path
    publication: Path

    @property
    def lease(self) -> Path:
        """Folder of ownership claims."""
        return self.root / "lease"

    @property
    def journal(self) -> Path:
        """Folder of journal files."""
        return self.root / "journal"

    @property
    def checkpoints(self) -> Path:
        """Folder of manifests and segments."""
        return self.root / "checkpoints"

    @property
    def aside(self) -> Path:
        """Folder of what was learned before the model began anew."""
        return self.root / "aside"

    @property
    def waiting(self) -> Path:
        """Folder of the features of observations that wait for their labels and have no room in memory."""
        return self.root / "waiting"

    @property
    def dead_letters(self) -> Path:
        """Database of events that could not be used."""
        return self.root / "dead_letters.sqlite"

    @property
    def schemas(self) -> Path:
        """Folder of the Avro schemas that events were decoded by."""
        return self.root / "schemas"

    @property
    def drill(self) -> Path:
        """While this file exists the device counts as failed: a fire drill for operators and tests."""
        return self.root / "device-failure-drill"

    @property
    def status(self) -> Path:
        """What the trainer reports to servers."""
        return self.publication / "status.json"


def model_paths(settings: Settings, model: str) -> ModelPaths:
    """Return the folders of `model`; none of them is created here."""
    return ModelPaths(settings.data_dir / "models" / model, settings.resolved_publish_dir() / model)


def commands_path(settings: Settings) -> Path:
    """Return the file of the commands to all trainers of this data directory."""
    return settings.data_dir / "commands.sqlite"


def log_path(settings: Settings, topic: str) -> Path:
    """Return the file of the embedded log that holds `topic`."""
    return settings.data_dir / "log" / f"{topic}.sqlite"


def kafka_options(settings: Settings) -> KafkaOptions:
    """Return the broker's address and credentials as the Kafka client takes them."""
    return KafkaOptions(**settings.kafka.client_options())


def make_source(settings: Settings, model: str, share: Share = ALL) -> Source:
    """Return the source that `model` learns from; of some partitions, where each has a reader of its own."""
    return _SOURCES[settings.source.kind](settings, model, share)


def reading_processes(settings: Settings) -> int:
    """Return how many processes read for one model: more than one only where a topic has partitions to share out."""
    return settings.ingest.processes if settings.source.kind == "kafka" else min(1, settings.ingest.processes)


def make_sink(settings: Settings, model: str) -> Sink:
    """Return the sink that events for `model` are appended to."""
    return _SINKS[settings.source.kind](settings, model)


def open_dead_letters(settings: Settings, model: str) -> DeadLetters:
    """Open the dead letters of `model`; the file is made where it does not exist.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """
    own = settings.models[model].dead_letters
    return DeadLetters(
        model_paths(settings, model).dead_letters,
        keep=own.keep,
        keep_bytes=own.keep_bytes,
        forward=dead_letter_topic(settings, model) is not None,
    )


def make_schemas(settings: Settings, model: str) -> Schemas | None:
    """Return who knows the schemas of Avro messages that `model` learns from; None where there is no registry."""
    registry = settings.schema_registry
    if registry.url is None:
        return None
    from service.reading.schema_files import SchemaFiles  # noqa: PLC0415  # only where there is one: fastavro is optional
    from service.reading.schema_registry import SchemaRegistry  # noqa: PLC0415  # as above

    return SchemaRegistry(registry, SchemaFiles(model_paths(settings, model).schemas, registry.url))


def make_decoder(settings: Settings, model: str, start: Positions, *, labelled_only: bool = False) -> EventDecoder:
    """Return what decodes the messages that `model` learns from.

    Parameters
    ----------
    settings, model
        The configuration, and the name of one of its models.
    start
        Where reading begins.
    labelled_only
        Whether events without a label are of no use, though a teacher could speak of them, or a label may come.
    """
    chosen = settings.models[model]
    observations = chosen.teacher is not None and not labelled_only
    joined = chosen.join.enabled and not labelled_only
    return EventDecoder(
        chosen.events,
        start,
        observations=observations,
        joined=joined,
        schemas=make_schemas(settings, model),
        of_model=known_identity(model_paths(settings, model).root),
    )


def dead_letter_topic(settings: Settings, model: str) -> str | None:
    """Return the topic that dead letters of `model` are forwarded to; None for none."""
    chosen = settings.models[model]
    return chosen.dead_letters.topic_for(chosen.topic) if settings.source.kind == "kafka" else None


def make_forwarder(settings: Settings, model: str) -> Forwarder | None:
    """Return what forwards dead letters of `model`, not yet started; None where they are not to be forwarded."""
    topic = dead_letter_topic(settings, model)
    if topic is None:
        return None
    options = kafka_options(settings)
    return Forwarder(
        open_dead_letters(settings, model),
        topic,
        lambda: KafkaSink(options, topic),
        lambda: create_topic(options, topic),
        model,
    )


def _log_source(settings: Settings, model: str, _: Share) -> Source:
    topic = settings.models[model].topic
    return LogSource(log_path(settings, topic), topic)


def _log_sink(settings: Settings, model: str) -> Sink:
    return LogSink(log_path(settings, settings.models[model].topic))


def _kafka_source(settings: Settings, model: str, share: Share) -> Source:
    return KafkaSource(kafka_options(settings), settings.models[model].topic, f"headrace-{model}", share)


def _kafka_sink(settings: Settings, model: str) -> Sink:
    return KafkaSink(kafka_options(settings), settings.models[model].topic)


_SOURCES: dict[str, Callable[[Settings, str, Share], Source]] = {"log": _log_source, "kafka": _kafka_source}
_SINKS: dict[str, Callable[[Settings, str], Sink]] = {"log": _log_sink, "kafka": _kafka_sink}
