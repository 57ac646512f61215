"""Settings from environment variables: ``HEADRACE_MODELS__DEFAULT__MICROBATCH__MAX_SIZE=512``.

Two underscores part the levels. Names count without regard to case, and a model's ``-`` and ``.`` may be written ``_``,
because a shell allows neither. A setting that is text is taken literally (a password ``0123`` stays what it is); any
other is read as YAML, so that lists and whole sections can be given too.
"""

import re
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from service.errors import ConfigurationInvalid
from service.settings.messages import field_types, no_such_setting
from service.settings.yaml_text import parse_value

PREFIX = "HEADRACE_"

_NO_SETTINGS = re.compile(r"HEADRACE_(API_KEY|DEBUG|TEST_.*|SERVICE_(HOST|PORT.*)|PORT_\d+_.*)")
"""Names for something else: a client's key, tracebacks, tests, and what Kubernetes sets for a Service so named."""


def overrides(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are meant as settings."""
    return {
        name: text
        for name, text in sorted(environ.items())
        if name.upper().startswith(PREFIX)
        and not _NO_SETTINGS.fullmatch(name.upper())
        and not _is_kubernetes(name, text)
    }


def apply(settings: dict[str, Any], environ: Mapping[str, str], root: type[BaseModel]) -> dict[tuple[str, ...], str]:
    """Write the settings of the environment over those in `settings`, in place.

    Returns
    -------
    dict
        Path of each setting that came from the environment → the variable that holds it, for messages.

    Raises
    ------
    ConfigurationInvalid
        A variable names no setting, or its value is no YAML.
    """
    origins: dict[tuple[str, ...], str] = {}
    # Shorter paths first: a whole section, then single settings within it.
    for name, text in sorted(overrides(environ).items(), key=lambda item: item[0].count("__")):
        path, annotation = _resolve(name, settings, root)
        if path in origins:
            raise ConfigurationInvalid(f"{name} and {origins[path]} name the same setting; unset one of them")
        _put(settings, path, _value(name, text, annotation), name)
        origins[path] = name
    return origins


def _is_kubernetes(name: str, text: str) -> bool:
    return name.upper() == "HEADRACE_PORT" and re.match(r"(tcp|udp|sctp)://", text) is not None


def _resolve(name: str, settings: Mapping[str, Any], root: type[BaseModel]) -> tuple[tuple[str, ...], Any]:
    """Return the path that a variable's name means, and the type of the setting there."""
    annotation: Any = root
    here: Any = settings
    path: tuple[str, ...] = ()
    for part in name[len(PREFIX) :].lower().split("__"):
        fields = field_types(annotation)
        if fields is not None:
            if part not in fields:
                raise ConfigurationInvalid(f"{name}: {no_such_setting((*path, part), fields)}")
            key, annotation = part, fields[part]
        else:
            value_type = _mapping_value(annotation)
            if value_type is None or not part:
                raise ConfigurationInvalid(f"{name}: {'.'.join(path)} has no setting {part!r} within it")
            key, annotation = _known_key(name, part, here), value_type
        path = (*path, key)
        here = here.get(key) if isinstance(here, Mapping) else None
    return path, annotation


def _mapping_value(annotation: Any) -> Any:
    """Return the type of a mapping's values; None where `annotation` is no mapping."""
    if annotation is Any:
        return Any
    origin = get_origin(annotation)
    return get_args(annotation)[1] if isinstance(origin, type) and issubclass(origin, Mapping) else None


def _known_key(name: str, part: str, here: Any) -> str:
    """Return the key of `here` that `part` spells as an environment variable can; `part` itself where there is none."""
    keys = [str(key) for key in here] if isinstance(here, Mapping) else []
    fitting = [key for key in keys if re.sub(r"[-.]", "_", key.lower()) == part]
    if len(fitting) > 1:
        raise ConfigurationInvalid(f"{name} could mean {' or '.join(fitting)}; set it in the file instead")
    return fitting[0] if fitting else part


def _value(name: str, text: str, annotation: Any) -> Any:
    """Return the value that `text` stands for in a setting of type `annotation`."""
    if _is_text(annotation):
        optional = type(None) in get_args(annotation)
        return None if optional and text in ("", "null") else text
    try:
        return parse_value(text)
    except ValueError as error:
        raise ConfigurationInvalid(f"{name}: {text!r} is not a valid value: {error}") from None


def _is_text(annotation: Any) -> bool:
    """Whether everything that a setting can be is written as text: strings, secrets, paths, choices."""
    if annotation is Any:
        return False
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return all(_is_text(part) for part in get_args(annotation) if part is not type(None))
    if hasattr(annotation, "__metadata__"):
        return _is_text(annotation.__origin__)
    if origin is not None:
        return all(isinstance(choice, str) for choice in get_args(annotation))
    return isinstance(annotation, type) and not issubclass(annotation, bool | int | float | BaseModel | Mapping | tuple)


def _put(settings: dict[str, Any], path: tuple[str, ...], value: Any, name: str) -> None:
    here = settings
    for depth, key in enumerate(path[:-1], start=1):
        below = here.get(key)
        if below is None:
            below = here[key] = {}
        if not isinstance(below, dict):
            raise ConfigurationInvalid(f"{name}: {'.'.join(path[:depth])} is {below!r} in the file, not a section")
        here = below
    here[path[-1]] = value
