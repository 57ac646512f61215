"""What a learner is tested on, and how it did: what passes between the command and the processes of its learners.

Light: the command itself imports no learner.
"""

from dataclasses import dataclass, field

from models.examples import Task
from service.comparing.learner_names import Entrant
from service.measuring.stream import StreamOrder

POINTS = 100
"""Places of the stream at which the running scores are kept, evenly spread."""

CURVES = ("accuracy", "log_loss", "mae", "rmse")
"""Scores that are kept at each of them."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one learner is to be tested on.

    Attributes
    ----------
    entrant
        The learner.
    stream
        The rows.
    task
        What is predicted.
    rows
        How many there are.
    delay
        Rows that are predicted before the first of their labels is known.
    seconds
        Time that it may take over them; None for as long as it takes.
    seed
        Of its initial values.
    threads
        For each operation on the CPU.
    """

    entrant: Entrant
    stream: StreamOrder
    task: Task
    rows: int
    delay: int
    seconds: float | None
    seed: int
    threads: int


@dataclass(slots=True)
class Outcome:
    """How a learner did.

    Attributes
    ----------
    rows
        Rows that were predicted; fewer than there are where its time was over.
    scores
        Name → prequential score over these rows.
    curve
        ``rows``: how many had been predicted at each point; each of :data:`CURVES` that the task has so far at these
        points, and, as ``recent_…``, over the rows since about the point before. None where it was not defined.
    seconds, learning_seconds
        Of the whole turn, and of what learning took (see :class:`models.delayed.DelayedTest`).
    memory_bytes
        See :func:`service.measuring.process_memory.growth`.
    error
        Why it could not be tested; empty as a rule.
    """

    rows: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    curve: dict[str, list[float | None]] = field(default_factory=lambda: {"rows": []})
    seconds: float = 0.0
    learning_seconds: float = 0.0
    memory_bytes: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a turn has come: rows predicted, rows learned in a second, and the scores at the last point."""

    rows: int
    rate: float
    scores: dict[str, float]
