"""What every section of the configuration is made of: the base class, and the types that several of them use."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of the configuration: frozen, and without room for keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_empty(cls, value: Any) -> Any:
        """Take a key with nothing after it for a section of defaults: in YAML it reads so, and says null."""
        return {} if value is None else value


def _existing_file(value: Any) -> Any:
    """Refuse a file that is not there, while somebody is looking."""
    if isinstance(value, str | Path) and not Path(value).expanduser().is_file():
        raise ValueError("there is no such file")
    return Path(value).expanduser() if isinstance(value, str | Path) else value


ExistingFile = Annotated[Path, BeforeValidator(_existing_file)]

Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
"""A name that Kafka accepts, and that can name a file."""

Port = Annotated[int, Field(ge=1, le=65535)]
