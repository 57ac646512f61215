"""All settings: defaults, over them ``headrace.yaml``, over that the environment; checked before anything starts.

This is the only file that reads the environment. What it returns is frozen and is handed to whoever needs it.
"""

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from service.errors import ConfigurationInvalid
from service.settings import environment, messages, yaml_text
from service.settings.added_models import AddedModelsSettings
from service.settings.event_options import EventOptions
from service.settings.kafka import KafkaSettings
from service.settings.schema_registry import SchemaRegistrySettings
from service.settings.section import Section
from service.settings.sections import (
    CheckpointSettings,
    FallbackSettings,
    IngestSettings,
    LogSettings,
    MicrobatchSettings,
    ModelSettings,
    SourceSettings,
    TrainSettings,
)
from service.settings.security import LimitsSettings, SecuritySettings, ServeSettings
from service.settings.teacher import check_teachers

__all__ = [
    "DEFAULT_FILE",
    "AddedModelsSettings",
    "CheckpointSettings",
    "EventOptions",
    "FallbackSettings",
    "IngestSettings",
    "KafkaSettings",
    "LimitsSettings",
    "LogSettings",
    "MicrobatchSettings",
    "ModelSettings",
    "SecuritySettings",
    "ServeSettings",
    "Settings",
    "SourceSettings",
    "TrainSettings",
    "child_environment",
    "client_key",
    "find_file",
    "load_settings",
    "wants_traceback",
]

DEFAULT_FILE = Path("headrace.yaml")
"""Read where no other file is named, and where it exists."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of its own in it, private: see ownership.py

_MODEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]|_(?!_)){0,63}")


class Settings(Section):
    """Everything that can be configured.

    Attributes
    ----------
    data_dir
        Everything durable: the embedded log, checkpoints, journals, dead letters.
    publish_dir
        Where trainers hand parameters to servers; volatile, best in memory. See :meth:`resolved_publish_dir`.
    models
        Name → what it learns. Names are lower case: they stand in addresses and name folders. Beside those that are
        declared here stand, where :mod:`service.roster` has put them, those that were added while the service ran.
    shutdown_seconds
        Time for ending in order after Ctrl-C or SIGTERM.
    """

    data_dir: Path = Path("data")
    publish_dir: Path | None = None
    source: SourceSettings = Field(default_factory=SourceSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    schema_registry: SchemaRegistrySettings = Field(default_factory=SchemaRegistrySettings)
    models: dict[str, ModelSettings] = Field(default_factory=lambda: {"default": ModelSettings()})
    serve: ServeSettings = Field(default_factory=ServeSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    added_models: AddedModelsSettings = Field(default_factory=AddedModelsSettings)
    shutdown_seconds: Annotated[float, Field(gt=0, le=3600)] = 25

    _added: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def added(self) -> Mapping[str, str]:
        """Which of the models were added while the service ran: name → revision of its settings."""
        return self._added

    def declared(self) -> Self:
        """Return the settings with the models that the configuration declares, and no other."""
        return self.with_added({name: own for name, own in self.models.items() if name not in self._added}, {})

    def with_added(self, models: Mapping[str, ModelSettings], revisions: Mapping[str, str]) -> Self:
        """Return the settings with these models instead, of which those in `revisions` were added."""
        copied = self.model_copy(update={"models": dict(models)})
        copied._added = dict(revisions)
        return copied

    @field_validator("data_dir", "publish_dir")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        """Take ``~`` for the home folder, and refuse a file where a folder is to be."""
        if value is None:
            return None
        folder = value.expanduser()
        if folder.exists() and not folder.is_dir():
            raise ValueError("must be a folder (it is made where it does not exist); there is a file of that name")
        return folder

    @field_validator("models")
    @classmethod
    def _check_names(cls, models: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        if not models:
            raise ValueError("must hold at least one model, such as `default: {topic: events}`")
        for name in models:
            problem = name_problem(name)
            if problem:
                raise ValueError(problem)
        return models

    @model_validator(mode="after")
    def _check_teachers(self) -> Self:
        """Refuse teachers that cannot teach; a model that names no task has its teacher's."""
        for name, task in check_teachers(self.models).items():
            self.models[name] = self.models[name].model_copy(update={"task": task})
        return self

    @model_validator(mode="after")
    def _check_strangers(self) -> Self:
        """Refuse to listen where strangers are unless somebody decided that they may call."""
        if is_loopback(self.serve.host) or self.security.allow_anonymous or self.security.api_keys_file:
            return self
        raise ValueError(
            f"serve.host: {self.serve.host!r} can be reached from other machines, and anybody there could send events: "
            "name a file of keys in security.api_keys_file (`headrace keys add` makes one), listen on 127.0.0.1, or "
            "say security.allow_anonymous: true where something else keeps strangers out"
        )

    @model_validator(mode="after")
    def _check_dead_letter_topics(self) -> Self:
        """Refuse a topic of dead letters that nobody would ever fill."""
        for name, model in self.models.items():
            if self.source.kind == "log" and model.dead_letters.topic not in ("auto", None):
                raise ValueError(
                    f"models.{name}.dead_letters.topic: {model.dead_letters.topic!r} is of no use with the embedded "
                    "log, whose dead letters stay in their file: leave it out, or set source.kind to kafka"
                )
        return self

    def resolved_publish_dir(self) -> Path:
        """Return the folder of publications: the one that is set, else one in memory that belongs to `data_dir`."""
        if self.publish_dir is not None:
            return self.publish_dir.absolute()
        data = self.data_dir.resolve()
        if _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK):
            return _SHARED_MEMORY / f"headrace-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
        return data / "publish"


def name_problem(name: str) -> str:
    """Return why a model cannot have this name; empty where it can."""
    if _MODEL_NAME.fullmatch(name):
        return ""
    return (
        f"a model cannot be named {name!r}: names are 1 to 64 of a-z, 0-9, single _, - and ., "
        f"and begin with a letter or a digit, such as {_nearest_name(name)!r}"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def find_file(path: Path | None) -> Path | None:
    """Return the file of settings that counts: the one that is named, else :data:`DEFAULT_FILE`, else none."""
    if path is not None:
        return path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings, every one of them checked.

    Parameters
    ----------
    path
        The YAML file; None for ``headrace.yaml`` in the working directory, where there is one.
    environ
        Environment variables; None for the process's own.

    Raises
    ------
    ConfigurationInvalid
        Something is wrong; its message has a line for each fault, naming key, value, and what would be right.
    """
    file = find_file(path)
    given = yaml_text.read_file(file) if file is not None else {}
    origins = environment.apply(given, os.environ if environ is None else environ, Settings)
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationInvalid(messages.explain(error, Settings, given, origins, file)) from None


def wants_traceback(environ: Mapping[str, str] | None = None) -> bool:
    """Whether ``HEADRACE_DEBUG`` asks for the traceback of an error that is otherwise one line."""
    value = (os.environ if environ is None else environ).get("HEADRACE_DEBUG", "")
    return value.lower() not in ("", "0", "false", "no")


def client_key(file: Path | None = None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the key with which this program calls a server, None where it has none; never to be logged.

    Parameters
    ----------
    file
        Holds the key, and nothing else; None for the environment's ``HEADRACE_API_KEY``.
    environ
        Environment variables; None for the process's own.

    Raises
    ------
    ConfigurationInvalid
        The file cannot be read, or holds no key.
    """
    if file is None:
        return (os.environ if environ is None else environ).get("HEADRACE_API_KEY", "").strip() or None
    try:
        key = file.expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise ConfigurationInvalid(f"--api-key-file {file}: cannot be read ({reason})") from None
    if not key or len(key.split()) != 1:
        raise ConfigurationInvalid(f"--api-key-file {file}: must hold one key, as `headrace keys add` printed it")
    return key


def child_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment for a child, with settings put over it (names as in ``HEADRACE_…``)."""
    kept = {name: value for name, value in os.environ.items() if name.upper() not in overrides}
    return {**kept, **overrides}


def _nearest_name(name: str) -> str:
    """Return a name that is allowed and looks like `name`."""
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9._-]", "-", name.lower())).strip("-_.")[:64] or "default"
