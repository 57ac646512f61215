"""The sections of the configuration: every setting, its default, and what it may be.

Nothing here reads a file or the environment: ``service/config.py`` puts the sections together and fills them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from models.contest_rules import FIRST
from models.learner import LearnerOptions
from service.settings.canary import CanarySettings
from service.settings.challengers import ChallengerSettings, ContestSettings, Name
from service.settings.dead_letters import DeadLetterSettings
from service.settings.drift import DriftSettings
from service.settings.event_options import EventOptions
from service.settings.influence import InfluenceSettings
from service.settings.join import JoinSettings, as_thinned, thinned
from service.settings.key import KeySettings, keyed
from service.settings.learner import CheckedLearner, check_loss_fits
from service.settings.remember import Remember, check_remember
from service.settings.section import Section, Topic
from service.settings.teacher import TaskName, TeacherSettings


class SourceSettings(Section):
    """Where events come from: ``log`` is embedded and durable, ``kafka`` is a cluster."""

    kind: Literal["log", "kafka"] = "log"


class ObjectiveSettings(Section):
    """What adaptive microbatches are to achieve.

    Attributes
    ----------
    freshness_ms
        Milliseconds from an event's arrival in the log until parameters that learned from it are served.
    """

    freshness_ms: Annotated[float, Field(gt=0, le=3_600_000)] = 100


_USUAL_SIZE, _BACKLOG_SIZE = 1024, 16_384
"""Events in a microbatch by default, at most: of a stream that is kept up with, and of a large backlog."""


class MicrobatchSettings(Section):
    """How large a microbatch may become, whichever bound is met first.

    Attributes
    ----------
    max_size
        Events.
    backlog_size
        The same where `adaptive` and a large backlog is learned, whose labels nobody waits for one by one. None: 16,384
        as long as `max_size` is what it is by default, and else `max_size`, for whoever sets a bound means it.
    max_delay_ms
        Milliseconds that its oldest event may have waited, what it took on its way from the log included.
    max_bytes
        Bytes of its events as they were in the log.
    adaptive
        Whether size and effort follow the load: the smallest microbatches, and the most effort, with which the learner
        keeps up.
    objective
        What that is to achieve.
    """

    max_size: Annotated[int, Field(ge=1, le=1_000_000)] = _USUAL_SIZE
    backlog_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_delay_ms: Annotated[float, Field(ge=0, le=3_600_000)] = 50
    max_bytes: Annotated[int, Field(ge=1)] = 4_194_304
    adaptive: bool = True
    objective: ObjectiveSettings = Field(default_factory=ObjectiveSettings)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.backlog_size is not None and self.backlog_size < self.max_size:
            raise ValueError(
                f"backlog_size is {self.backlog_size} and max_size {self.max_size}: microbatches of a backlog are at "
                "least as large as others; lower max_size, or leave backlog_size out"
            )
        return self

    @property
    def largest(self) -> int:
        """Events in a microbatch, at most, whatever waits."""
        if not self.adaptive:
            return self.max_size
        if self.backlog_size is not None:
            return self.backlog_size
        return _BACKLOG_SIZE if self.max_size == _USUAL_SIZE else self.max_size


class FallbackSettings(Section):
    """What learns on when the device fails, and from how many of the last labelled events it starts."""

    learner: Literal["online", "none"] = "online"
    replay_events: Annotated[int, Field(ge=0)] = 10_000


class CheckpointSettings(Section):
    """How often the state is made durable (seconds), and how many of the last checkpoints are kept."""

    every_seconds: Annotated[float, Field(gt=0)] = 5
    keep: Annotated[int, Field(ge=1)] = 5


class ModelSettings(Section):
    """One model: what it learns from, and how.

    Attributes
    ----------
    remember
        ``log``: a prediction that is asked with an id is appended to the topic, with the features that it was answered
        from, before it is answered; so its label is learned with them, and it is scored on what was answered.
    warm_start
        A model's folder, or one checkpoint, whose learner a new model begins with; of no meaning once it has learned.
    """

    topic: Topic = "events"
    task: TaskName = "auto"
    key: KeySettings | None = None
    join: JoinSettings = Field(default_factory=JoinSettings)
    learner: CheckedLearner = Field(default_factory=LearnerOptions)
    microbatch: MicrobatchSettings = Field(default_factory=MicrobatchSettings)
    fallback: FallbackSettings = Field(default_factory=FallbackSettings)
    events: EventOptions = Field(default_factory=EventOptions)
    remember: Remember = "none"
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    canary: CanarySettings = Field(default_factory=CanarySettings)
    influence: InfluenceSettings = Field(default_factory=InfluenceSettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    dead_letters: DeadLetterSettings = Field(default_factory=DeadLetterSettings)
    teacher: TeacherSettings | None = None
    challengers: Mapping[Name, ChallengerSettings] = Field(default_factory=dict)
    contest: ContestSettings = Field(default_factory=ContestSettings)
    warm_start: Path | None = None

    @field_validator("warm_start")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        """Take ``~`` for the home folder; whether it is there matters only to a model that has learned nothing."""
        return None if value is None else value.expanduser()

    @field_validator("learner", mode="after")
    @classmethod
    def _give_key(cls, value: LearnerOptions, info: ValidationInfo) -> LearnerOptions:
        """Build the learner with what is set beside it: the key, and how its stream is thinned out."""
        return thinned(keyed(value, info.data.get("key")), info.data.get("join"), info.data.get("task", "auto"))

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.influence.key_share is not None and self.events.source is None:
            raise ValueError("influence.key_share bounds sources: set events.source, to $key or the name of a feature")
        return self

    @model_validator(mode="after")
    def _check_remember(self) -> Self:
        check_remember(self.remember, self.events, self.join)
        return self

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        check_loss_fits(self.learner.loss, self.task)
        self.join.check_task(self.task)
        return self

    @model_validator(mode="after")
    def _check_challengers(self) -> Self:
        self.contest.check(self.challengers, self.task)
        return self

    @property
    def contenders(self) -> Mapping[str, LearnerOptions]:
        """What the learner and its challengers are built from, by their names."""
        others = {name: as_thinned(each.learner, self.learner) for name, each in self.challengers.items()}
        return {FIRST: self.learner, **others}

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
    niceness
        How far a trainer goes behind others where processors are short, from 0, not at all, to 19: predictions are
        answered first.
    """

    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    lease_seconds: Annotated[float, Field(ge=0.2, le=3600)] = 3.0
    spare: bool = True
    niceness: Annotated[int, Field(ge=0, le=19)] = 5


class IngestSettings(Section):
    """How a trainer reads and decodes events.

    Attributes
    ----------
    processes
        1: in a process beside the trainer's, so that reading and learning each have a core; more: the partitions of a
        Kafka topic are shared out among so many, those beyond the number of partitions idle; 0: in a thread of it.
    """

    processes: Annotated[int, Field(ge=0, le=64)] = 1


class LogSettings(Section):
    """How long the embedded log keeps events; without a bound, for ever. What a checkpoint needs is always kept."""

    retention_days: Annotated[float, Field(gt=0)] | None = None
    retention_bytes: Annotated[int, Field(ge=1_000_000)] | None = None
