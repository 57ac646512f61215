"""What commands about one model have in common: which model is meant, and what is printed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.config import Settings
from service.errors import ConfigurationInvalid


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints: `text` for a person, `data` for a program."""

    text: str
    data: Mapping[str, Any]

    def as_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(self.data)


def model_of(settings: Settings, model: str | None) -> str:
    """Return the model that is meant: where none is named, the only one that the configuration declares.

    Raises
    ------
    ConfigurationInvalid
        There is none of that name, or several and none was named.
    """
    declared = settings.declared().models
    if model is None and len(declared) > 1:
        names = ", ".join(settings.models)
        raise ConfigurationInvalid(f"several models are configured: say which one is meant, --model one of {names}")
    name = next(iter(declared)) if model is None else model
    if name not in settings.models:
        known = ", ".join(settings.models)
        raise ConfigurationInvalid(f"--model {name}: there is no such model; the configuration has {known}")
    return name
