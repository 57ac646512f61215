"""The sections of the configuration: every setting, its default, and what it may be.

Nothing here reads a file or the environment: ``config.py`` puts the sections together and fills them.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_serializer, field_validator, model_validator

from models.learner import LearnerOptions
from service.config_canary import CanarySettings
from service.config_dead_letters import DeadLetterSettings
from service.config_influence import InfluenceSettings
from service.config_learner import check_learner, check_loss_fits
from service.config_section import ExistingFile, Section, Topic
from service.event_options import EventOptions


class SourceSettings(Section):
    """Where events come from: ``log`` is embedded and durable, ``kafka`` is a cluster."""

    kind: Literal["log", "kafka"] = "log"


class KafkaSettings(Section):
    """How to reach the cluster; :class:`consumers.kafka_options.KafkaOptions` says what each setting means.

    Attributes
    ----------
    client
        Which client library reads.
    """

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    client: Literal["kafka-python"] = "kafka-python"
    client_id: str = "headrace"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    ssl_cafile: ExistingFile | None = None
    ssl_certfile: ExistingFile | None = None
    ssl_keyfile: ExistingFile | None = None
    ssl_password: SecretStr | None = None
    ssl_crlfile: ExistingFile | None = None
    ssl_ciphers: str | None = None
    ssl_check_hostname: bool = True
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    fetch_max_bytes: Annotated[int, Field(ge=1024)] = 52_428_800
    max_partition_fetch_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    connect_timeout: Annotated[float, Field(gt=0)] = 10.0
    unreachable_after: Annotated[float, Field(gt=0)] = 15.0
    delivery_timeout: Annotated[float, Field(gt=0)] = 30.0
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _join_servers(cls, value: Any) -> Any:
        """Accept a list of servers as well."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            if not re.fullmatch(r"[^\s:/]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", server):
                raise ValueError("must be host:port, several parted by commas, such as kafka-1:9092,kafka-2:9092")
        return ",".join(servers)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        sasl = self.security_protocol.startswith("SASL_")
        if sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_mechanism, such as SCRAM-SHA-512")
        if not sasl and self.sasl_mechanism is not None:
            raise ValueError("sasl_mechanism is of no use unless security_protocol is SASL_SSL or SASL_PLAINTEXT")
        by_password = self.sasl_mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
        if by_password and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs sasl_username and sasl_password")
        return self

    @field_serializer("extra")
    def _hide_secrets(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Hide what may be secret among settings that only the client knows."""
        return {
            name: "**********" if re.search("password|secret|token|key", name, re.IGNORECASE) else value
            for name, value in extra.items()
        }

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of ``KafkaOptions``, secrets revealed: never to be logged."""
        options: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            options[name] = str(value) if isinstance(value, Path) else value
        del options["client"]
        return options


class MicrobatchSettings(Section):
    """How large a microbatch may become, whichever bound is met first.

    Attributes
    ----------
    max_size
        Events.
    max_delay_ms
        Milliseconds that its oldest event may have waited.
    max_bytes
        Bytes of its events as they were in the log.
    adaptive
        Whether smaller microbatches are cut while few events come.
    """

    max_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    max_delay_ms: Annotated[float, Field(ge=0, le=3_600_000)] = 50
    max_bytes: Annotated[int, Field(ge=1)] = 4_194_304
    adaptive: bool = True


class FallbackSettings(Section):
    """What learns on when the device fails, and from how many of the last labelled events it starts."""

    learner: Literal["online", "none"] = "online"
    replay_events: Annotated[int, Field(ge=0)] = 10_000


class CheckpointSettings(Section):
    """How often the state is made durable (seconds), and how many of the last checkpoints are kept."""

    every_seconds: Annotated[float, Field(gt=0)] = 5
    keep: Annotated[int, Field(ge=1)] = 5


class ModelSettings(Section):
    """One model: what it learns from, and how."""

    topic: Topic = "events"
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    learner: LearnerOptions = Field(default_factory=LearnerOptions)
    microbatch: MicrobatchSettings = Field(default_factory=MicrobatchSettings)
    fallback: FallbackSettings = Field(default_factory=FallbackSettings)
    events: EventOptions = Field(default_factory=EventOptions)
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    canary: CanarySettings = Field(default_factory=CanarySettings)
    influence: InfluenceSettings = Field(default_factory=InfluenceSettings)
    dead_letters: DeadLetterSettings = Field(default_factory=DeadLetterSettings)

    @field_validator("learner", mode="before")
    @classmethod
    def _check_learner(cls, value: Any) -> Any:
        """Check the learner's settings here: its dataclass belongs to ``models`` and takes what it is given."""
        if isinstance(value, LearnerOptions):
            value = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        return check_learner(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.influence.key_share is not None and self.events.source is None:
            raise ValueError("influence.key_share bounds sources: set events.source, to $key or the name of a feature")
        return self

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        check_loss_fits(self.learner.loss, self.task)
        return self

    @model_validator(mode="after")
    def _check_dead_letters(self) -> Self:
        self.dead_letters.check(self.topic)
        return self


class TrainSettings(Section):
    """The trainer's process.

    Attributes
    ----------
    metrics_host, metrics_port
        Where it serves ``/metrics`` of its own; no port, none. Port 0 is any that is free (the log says which), for
        trainers of several models on one machine.
    lease_seconds
        A trainer that has given no sign of life for so long is taken for dead, and a standby takes over.
    spare
        Whether ``headrace up`` keeps a trainer in reserve that has imported everything. It costs some hundred MiB of
        memory, and makes the start of a trainer that died a matter of a second.
    """

    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    lease_seconds: Annotated[float, Field(ge=0.2, le=3600)] = 3.0
    spare: bool = True


class IngestSettings(Section):
    """How a trainer reads and decodes events.

    Attributes
    ----------
    processes
        1: in a process beside the trainer's, so that reading and learning each have a core; 0: in a thread of it.
    """

    processes: Annotated[int, Field(ge=0, le=1)] = 1


class LogSettings(Section):
    """How long the embedded log keeps events; without a bound, for ever. What a checkpoint needs is always kept."""

    retention_days: Annotated[float, Field(gt=0)] | None = None
    retention_bytes: Annotated[int, Field(ge=1_000_000)] | None = None
