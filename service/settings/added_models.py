"""The section ``added_models``: what may be added while the service runs, by whoever has the role ``operate``."""

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from service.settings.section import Section


class AddedModelsSettings(Section):
    """Which models may be added beside those that the configuration declares; see ADR 39.

    Attributes
    ----------
    enabled
        Whether any may be added, changed or removed. Those that were added before stay.
    most
        How many there may be. Each has a trainer and a program that reads, some 430 MiB of memory together, and what
        it learns.
    topics
        Patterns (``*``, ``?``, ``[…]``) of the topics that they may learn from, and send dead letters to: whoever adds
        a model reads and writes these with the service's own credentials.
    allow_paths
        Whether they may name files of this machine: a network of one's own, which is code that the service runs, or
        what to begin with (``warm_start``).
    """

    enabled: bool = True
    most: Annotated[int, Field(ge=0, le=1000)] = 16
    topics: tuple[Annotated[str, Field(min_length=1)], ...] = ("*",)
    allow_paths: bool = False

    def allows(self, topic: str) -> bool:
        """Whether a topic of this name may be named."""
        return any(fnmatchcase(topic, pattern) for pattern in self.topics)
