"""Which learners can be asked for: names, and ranges of their settings, checked before torch is ever imported.

The names are those of the registries in ``models``; ``tests/service/test_config_learner.py`` keeps the two in step.
"""

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

KINDS = ("auto", "linear", "mlp", "fm", "online")
LOSSES = ("auto", "bce", "ce", "mse", "mae", "huber")
OPTIMIZERS = ("auto", "sgd", "adam", "adamw", "adagrad")

_LOSSES_OF = {
    "binary": ("auto", "bce", "ce"),
    "multiclass": ("auto", "ce"),
    "regression": ("auto", "mse", "mae", "huber"),
}

_NETWORK_GROUP = "headrace.networks"


class _LearnerCheck(BaseModel):
    """The fields of :class:`models.learner.LearnerOptions` with their ranges; serves only to check."""

    model_config = ConfigDict(extra="forbid")

    kind: str = "auto"
    loss: Literal["auto", "bce", "ce", "mse", "mae", "huber"] = "auto"
    optimizer: Literal["auto", "sgd", "adam", "adamw", "adagrad"] = "auto"
    learning_rate: float | str = "auto"
    device: str = "auto"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(ge=0)] = 1.0
    step_size: Annotated[int, Field(ge=0)] = 128
    chunk_size: Annotated[int, Field(ge=0)] = 0
    window: Annotated[int, Field(ge=1)] = 5000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    network: dict[str, Any] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _check_kind(cls, value: str) -> str:
        if value in KINDS or ":" in value or value in entry_points(group=_NETWORK_GROUP).names:
            return value
        raise ValueError(
            f"must be one of {', '.join(KINDS)}, a network of your own as path/to/file.py:ClassName, "
            f"or an installed entry point of the group {_NETWORK_GROUP}"
        )

    @field_validator("learning_rate", mode="plain")
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

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) is None:
            raise ValueError("must be auto, cpu, cuda, or cuda:N for the card number N")
        return value


LEARNER_KEYS = tuple(_LearnerCheck.model_fields)


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
    fitting = _LOSSES_OF.get(task, LOSSES)
    if loss not in fitting:
        raise ValueError(f"learner.loss {loss} does not fit task {task}, whose losses are {', '.join(fitting)}")
