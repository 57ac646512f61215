"""What is said when a setting is wrong: its key, its value, where it came from, and what would be right."""

import dataclasses
import difflib
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretStr, ValidationError

_HIDDEN = "**********"

_ELSEWHERE = {
    "port": "serve.port",
    "host": "serve.host",
    "workers": "serve.workers",
    "topic": "models.default.topic",
    "task": "models.default.task",
    "bootstrap_servers": "kafka.bootstrap_servers",
    "api_keys_file": "security.api_keys_file",
}
"""Keys that people look for at the top, and where they are."""


def field_types(annotation: Any) -> dict[str, Any] | None:
    """Return the keys of a section (or ``Section | None``) and their types; None where `annotation` is no section."""
    annotation = _section(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: info.annotation for name, info in annotation.model_fields.items()}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return get_type_hints(annotation)
    return None


def no_such_setting(path: tuple[str, ...], allowed: Iterable[str]) -> str:
    """Return the message for a key that does not exist, with the one that was probably meant."""
    names = list(allowed)
    text = f"{'.'.join(path)}: there is no such setting"
    near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.6)
    if near:
        return f"{text}; did you mean {'.'.join((*path[:-1], near[0]))}?"
    if len(path) == 1 and path[0] in _ELSEWHERE:
        return f"{text}; did you mean {_ELSEWHERE[path[0]]}?"
    return f"{text}; there are {', '.join(names)}"


def explain(
    error: ValidationError,
    root: type[BaseModel],
    given: Any,
    origins: Mapping[tuple[str, ...], str],
    file: Path | None = None,
) -> str:
    """Return one line for each fault that validation found, those of a place in the order of the sections.

    Parameters
    ----------
    error
        What pydantic found.
    root
        The model that was validated.
    given
        What it was given.
    origins
        Path → environment variable, for the settings that came from there.
    file
        The file that the others came from.
    """
    lines: dict[str, None] = {}
    for path, line in faults(error, root, given):
        origin = next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), None)
        lines[f"{origin or file}: {line}" if origin or file else line] = None
    return "\n".join(lines)


def faults(error: ValidationError, root: type[BaseModel], given: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield, for each fault that validation found, the path of the key that is wrong, and a line that says how.

    The path is empty where the fault is of no single key. Parameters are those of :func:`explain`.
    """
    for fault in error.errors(include_url=False):
        path = _path(fault["loc"], given)
        if fault["type"] == "extra_forbidden":
            yield path, no_such_setting(path, _allowed(root, path[:-1]))
        else:
            yield path, _line(path, fault, root)


def _path(location: tuple[int | str, ...], given: Any) -> tuple[str, ...]:
    """Return the part of pydantic's location that names keys; its marks for members of a union are left out."""
    path: list[str] = []
    for depth, part in enumerate(location):
        if isinstance(given, Mapping):
            given = given.get(part)
        elif isinstance(given, list | tuple) and isinstance(part, int):
            given = given[part] if part < len(given) else None
        elif depth and given is not None:
            break
        path.append(str(part))
    return tuple(path)


def _allowed(root: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Return the keys of the section at `path`."""
    annotation: Any = root
    for part in path:
        fields = field_types(annotation)
        if fields is not None:
            annotation = fields.get(part)
        elif get_args(annotation):
            annotation = get_args(annotation)[-1]
    return list(field_types(annotation) or {})


def _section(annotation: Any) -> Any:
    """Return the section within ``Section | None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((part for part in get_args(annotation) if part is not type(None)), None)
    return annotation


def _line(path: tuple[str, ...], fault: Any, root: type[BaseModel]) -> str:
    problem = _problem(fault)
    if not path:
        return problem
    key = ".".join(path)
    if isinstance(fault["input"], Mapping | BaseModel) or fault["type"] == "missing":
        return f"{key}: {problem}"
    return f"{key}: {_show(path, fault['input'], root)} is not right: {problem}"


def _show(path: tuple[str, ...], value: Any, root: type[BaseModel]) -> str:
    """Return the value for a message, unless it is a secret or does not fit on a line."""
    annotation: Any = root
    for part in path:
        annotation = (field_types(annotation) or {}).get(part)
    if SecretStr in (annotation, *get_args(annotation)):
        return _HIDDEN
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:97]}…"


_PROBLEMS = {
    "int_parsing": "must be an integer",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be text",
    "dict_type": "must be a section of `key: value` settings",
    "model_type": "must be a section of `key: value` settings",
    "dataclass_type": "must be a section of `key: value` settings",
    "missing": "is needed",
}
"""Kind of fault, by pydantic's names → what would be right."""

_WORDS = {"Input should": "must", "greater than or equal to": "at least", "less than or equal to": "at most"}


def _problem(fault: Any) -> str:
    """Return what would be right, in words that do not need to know pydantic."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        return f"must be one of {context['expected']}".replace("'", "").replace(" or ", ", ")
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind in _PROBLEMS:
        return _PROBLEMS[kind]
    message = str(fault["msg"])
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message
