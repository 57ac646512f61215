"""What commands to a model, and names of its checkpoints, look like in OpenAPI."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Schema(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


_THEN: Literal["learn", "pause"] | None = Field(
    default=None, description="Whether learning goes on from it, or pauses; as it was where neither is said."
)


class RollbackToVersion(_Schema):
    """Which checkpoint to go back to, by its version."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(description="Of a checkpoint that is kept.", examples=[412])
    then: Literal["learn", "pause"] | None = _THEN


class RollbackToName(_Schema):
    """Which checkpoint to go back to, by a name that was given to it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Of a checkpoint that has one.", examples=["before-the-sale"])
    then: Literal["learn", "pause"] | None = _THEN


class Keep(_Schema):
    """Which checkpoint to keep under a name."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(default=None, description="Of a checkpoint that is kept; null: one is taken now.")


COMMAND_BODIES = (RollbackToVersion, RollbackToName, Keep)


class Obeyed(_Schema):
    """What came of a command."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    model: str
    command: int = Field(description="Its number: `GET …/commands/{number}`.")
    state: Literal["done"]
    model_version: int | None = Field(default=None, description="The version from then on.")
    restored_from: int | None = Field(default=None, description="The version whose learner it is.")
    paused: bool | None = Field(default=None, description="Whether learning pauses now.")
    changed: bool | None = Field(default=None, description="False where it was so before.")
    name: str | None = None
    version: int | None = Field(default=None, description="That has the name.")
    champion: str | None = Field(default=None, description="Who answers from now on.")
    former: str | None = Field(default=None, description="Who did until now, and is a challenger.")


class Waiting(_Schema):
    """A command that waits: the trainer is down, or busy. It is obeyed when it can be."""

    model: str
    command: int = Field(description="Its number: `GET …/commands/{number}`.")
    state: Literal["waiting"]
    detail: str


class CommandState(_Schema):
    """A command, and what came of it."""

    model: str
    command: int
    kind: str = Field(examples=["rollback"])
    data: dict[str, Any]
    caller: str = Field(description="The key that it was given with, or where it came from.")
    ordered_at: float = Field(description="Unix seconds.")
    state: Literal["waiting", "done", "refused"]
    finished_at: float | None = Field(description="Unix seconds; null while it waits.")
    outcome: dict[str, Any] | None = Field(description="What was done, or `detail` of why not; null while it waits.")


class CommandList(_Schema):
    """The last commands to a model, newest first."""

    model: str
    commands: list[CommandState]
