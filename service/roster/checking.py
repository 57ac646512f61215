"""Whether settings that come from elsewhere may be those of a model: checked by the same sections as the configuration.

Two things more are asked of them than of the configuration, for whoever sends them need not be who started the service:
they name no file of this machine, and no topic that was not meant for that (``added_models``).
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from service.config import ModelSettings, Settings, name_problem
from service.errors import RequestInvalid
from service.settings.messages import faults

_UNUSABLE = 422

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What cannot be taken for a path: the names of learners and experts, and what a network's arguments choose among."""


def with_model(settings: Settings, name: str, given: Mapping[str, Any]) -> Settings:
    """Return `settings` with a model of this name, new or in place of the one that there is.

    Raises
    ------
    RequestInvalid
        422: something is wrong; with the field, and a line for each fault as the configuration's check has it.
    """
    problem = name_problem(name)
    if problem:
        raise RequestInvalid(problem, _UNUSABLE, "model")
    checked = _checked(settings, {**settings.models, name: dict(given)}, name)
    _check_remote(settings, name, checked.models[name])
    return checked


def without_model(settings: Settings, name: str) -> Settings:
    """Return `settings` without the model of this name.

    Raises
    ------
    RequestInvalid
        409: another one needs it.
    """
    others = {each: own for each, own in settings.models.items() if each != name}
    for each, own in others.items():
        if own.teacher is not None and own.teacher.model == name:
            raise RequestInvalid(f"{each} learns from {name} (models.{each}.teacher): change or remove that first", 409)
    return settings.with_added(others, {each: text for each, text in settings.added.items() if each != name})


def _checked(settings: Settings, models: Mapping[str, Any], name: str) -> Settings:
    """Return the settings with these models, of which the one called `name` is not checked yet."""
    sections = {field: getattr(settings, field) for field in Settings.model_fields}
    try:
        valid = Settings.model_validate({**sections, "models": models})
    except ValidationError as error:
        raise _refusal(error, name, models) from None
    return settings.with_added(valid.models, settings.added)


def _refusal(error: ValidationError, name: str, models: Mapping[str, Any]) -> RequestInvalid:
    """Return what to answer: every fault in a line, and the path in the body of the first one."""
    found = list(faults(error, Settings, {"models": models}))
    path, line = found[0]
    # What is wrong between models is said of all of them, and begins with the key.
    key = ".".join(path) or line.partition(": ")[0]
    prefix = f"models.{name}."
    field = key.removeprefix(prefix) if key.startswith(prefix) else ""
    return RequestInvalid("\n".join(dict.fromkeys(line for _, line in found)), _UNUSABLE, field)


def _check_remote(settings: Settings, name: str, model: ModelSettings) -> None:
    """Refuse what only the configuration may say.

    Raises
    ------
    RequestInvalid
    """
    limits = settings.added_models
    if not limits.allow_paths:
        for path, value in _leaves(model, ()):
            if _names_file(path, value):
                raise RequestInvalid(
                    f"models.{name}.{'.'.join(path)}: {str(value)!r} names a file of this machine, and an added model "
                    "may not: declare the model in the configuration, or have added_models.allow_paths set there",
                    _UNUSABLE,
                    ".".join(path),
                )
    topics = {"topic": model.topic, "dead_letters.topic": model.dead_letters.topic_for(model.topic)}
    if settings.source.kind == "log":
        del topics["dead_letters.topic"]
    for field, topic in topics.items():
        if topic is not None and not limits.allows(topic):
            raise RequestInvalid(
                f"models.{name}.{field}: {topic!r} is no topic for added models, which are those that match "
                f"{', '.join(limits.topics) or 'nothing'} (added_models.topics)",
                _UNUSABLE,
                field,
            )


def _names_file(path: tuple[str, ...], value: Any) -> bool:
    """Whether a setting is a place in the file system, or may be taken for one by a learner or a network of its own."""
    if isinstance(value, Path):
        return True
    if not isinstance(value, str):
        return False
    return path[-1] == "weights" or ((path[-1] == "kind" or "network" in path) and not _WORD.fullmatch(value))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all that is not made of other settings, and where it is; learners within learners included."""
    inner: dict[str, Any] | None = None
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        inner = {str(key): each for key, each in value.items()}
    elif isinstance(value, list | tuple):
        inner = {str(index): each for index, each in enumerate(value)}
    if inner is None:
        yield path, value
        return
    for name, each in inner.items():
        yield from _leaves(each, (*path, name))
