"""What the trainer and the programs that read for it say to each other over their sockets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consumers.microbatch import Decoded
from consumers.source import ALL, Share
from models.examples import Examples, Label, Task
from service.config import Settings
from service.reading.ingest import Start

# What the trainer says; positions to commit go as they are.


@dataclass(frozen=True)
class Job:
    """What a program is to do: whose topic, from where, and which of its partitions."""

    settings: Settings
    model: str
    start: Start
    share: Share = ALL


@dataclass(frozen=True)
class Answer:
    """What was decided upon a question."""

    task: Task | None
    classes: tuple[Label, ...]


@dataclass(frozen=True)
class Taken:
    """So many bytes of mapped memory were taken by the trainer."""

    size: int


# What a program says.


@dataclass(frozen=True)
class Opened:
    """Which log is read."""

    identity: str


@dataclass(frozen=True)
class Chunk:
    """Examples, in the order of the log within each partition."""

    decoded: Decoded[Examples]


@dataclass(frozen=True)
class Question:
    """Asks for a decision; see :class:`service.decoding.decisions.Authority`.

    Attributes
    ----------
    about
        ``weigh``, ``conclude`` or ``admit``.
    labels
        Those in question.
    """

    about: str
    labels: Sequence[Label]


@dataclass(frozen=True)
class Report:
    """How the log is doing."""

    ends: Mapping[int, int]
    waiting: bool


@dataclass(frozen=True)
class Notice:
    """What the operator should know."""

    message: str


@dataclass(frozen=True)
class Failure:
    """Why nothing more can be read."""

    error: Exception
