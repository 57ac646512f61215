"""Which learners can be asked for: names, and ranges of their settings, checked before torch is ever imported.

The names are those of the registries in ``models``; ``tests/service/settings/test_learner.py`` keeps the two in step.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator

from models.learner import LearnerOptions
from service.settings.learner_kinds import KINDS

LOSSES = ("auto", "bce", "ce", "mse", "mae", "huber")
OPTIMIZERS = ("auto", "sgd", "adam", "adamw", "adagrad")

LOSSES_OF = {
    "binary": ("auto", "bce", "ce"),
    "multiclass": ("auto", "ce"),
    "regression": ("auto", "mse", "mae", "huber"),
}

_NETWORK_GROUP = "headrace.networks"


_RANGES: dict[str, Any] = {
    "loss": Literal[LOSSES],
    "optimizer": Literal[OPTIMIZERS],
    "momentum": Annotated[float, Field(ge=0, lt=1)],
    "weight_decay": Annotated[float, Field(ge=0)],
    "gradient_clip": Annotated[float, Field(ge=0)],
    "step_size": Annotated[int, Field(ge=0)],
    "chunk_size": Annotated[int, Field(ge=0)],
    "window": Annotated[int, Field(ge=1)],
    "seed": Annotated[int, Field(ge=0, lt=2**63)],
}
"""Setting → what it may be, where its type alone does not say."""


class _LearnerRules(BaseModel):
    """What no type can say of the learner's settings."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("kind", check_fields=False)
    @classmethod
    def _check_kind(cls, value: str) -> str:
        if value in KINDS or ":" in value or value in entry_points(group=_NETWORK_GROUP).names:
            return value
        raise ValueError(
            f"must be one of {', '.join(KINDS)}, a network of your own as path/to/file.py:ClassName, "
            f"or an installed entry point of the group {_NETWORK_GROUP}"
        )

    @field_validator("learning_rate", mode="plain", check_fields=False)
    @classmethod
    def _check_learning_rate(cls, value: Any) -> float | str:
        if value == "auto":
            return "auto"
        try:
            rate = float(value)
        except (TypeError, ValueError):
            rate = 0.0
        if isinstance(value, bool) or not 0 < rate < float("inf"):
            raise ValueError("must be a positive number, or auto")
        return rate

    @field_validator("replay", mode="plain", check_fields=False)
    @classmethod
    def _check_replay(cls, value: Any) -> int | str:
        if value == "auto":
            return "auto"
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError("must be an integer of at least 0, or auto")
        return value

    @field_validator("device", check_fields=False)
    @classmethod
    def _check_device(cls, value: str) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) is None:
            raise ValueError("must be auto, cpu, cuda, or cuda:N for the card number N")
        return value


def _make_check() -> type[BaseModel]:
    """Return a model with the fields of ``LearnerOptions``, so that a new one there needs nothing here."""
    types = get_type_hints(LearnerOptions)
    defaults = LearnerOptions()
    named: dict[str, Any] = {
        field.name: (_RANGES.get(field.name, types[field.name]), getattr(defaults, field.name))
        for field in fields(LearnerOptions)
    }
    return create_model("LearnerCheck", __base__=_LearnerRules, **named)


_LearnerCheck = _make_check()


def check_learner(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the learner's settings, those not given at their defaults, every one of them checked.

    Raises
    ------
    pydantic.ValidationError
        Which pydantic, when a validator raises it, takes apart again, so that each fault keeps its key.
    """
    return _LearnerCheck.model_validate(dict(settings)).model_dump()


def check_loss_fits(loss: str, task: str) -> None:
    """Refuse a loss that cannot be computed for the task that is configured.

    Raises
    ------
    ValueError
    """
    fitting = LOSSES_OF.get(task, LOSSES)
    if loss not in fitting:
        raise ValueError(f"learner.loss {loss} does not fit task {task}, whose losses are {', '.join(fitting)}")


def _checked(value: Any) -> Any:
    if isinstance(value, LearnerOptions):
        value = {entry.name: getattr(value, entry.name) for entry in fields(value)}
    return check_learner(value) if isinstance(value, Mapping) else value


CheckedLearner = Annotated[LearnerOptions, BeforeValidator(_checked)]
"""A learner's settings, checked here: their dataclass belongs to ``models`` and takes what it is given."""
