"""Whether a model can go on from what it has learned with other settings: asked before they are written down.

Else its trainer would find out, and not start (``recovery.py``, ``Learner.restore``).
"""

from typing import Any

from service.checkpoints import CheckpointStore
from service.config import ModelSettings, Settings
from service.errors import RequestInvalid
from service.monitoring.status import read_status
from service.wiring import model_paths

_CONFLICT = 409

_MUST_AGREE = ("kind", "loss", "optimizer", "network")
"""Settings of a learner without which what it has learned cannot be taken up again."""


def check_change(settings: Settings, name: str, wanted: ModelSettings) -> None:
    """Refuse settings with which a model could not go on from what it has learned: its trainer would not start.

    Raises
    ------
    RequestInvalid
        409.
    """
    paths, now = model_paths(settings, name), settings.models[name]
    status = read_status(paths.status)
    learned = sum(status.events_learned.values()) if status is not None else 0
    if not learned and not CheckpointStore(paths.checkpoints).list():
        return
    found: dict[str, tuple[Any, Any]] = {"topic": (now.topic, wanted.topic)}
    found |= {f"learner.{key}": (getattr(now.learner, key), getattr(wanted.learner, key)) for key in _MUST_AGREE}
    task = status.task if status is not None else None
    if wanted.task != "auto":
        found["task"] = (task or (wanted.task if now.task == "auto" else now.task), wanted.task)
    for field, (before, after) in found.items():
        if before != after:
            raise RequestInvalid(
                f"models.{name}.{field}: what was learned was learned with {before!r}, and cannot go on with "
                f"{after!r}: leave it, or DELETE the model (what it was is kept aside) and PUT it again, to begin anew",
                _CONFLICT,
                field,
            )
