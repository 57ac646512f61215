"""What is measured for one size, and what came out: what passes between the command and the processes of its cells.

A cell is a learner, a device and a size. Light: the command itself imports no learner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.examples import Task
from service.measuring.stream import StreamOrder


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the table.

    Attributes
    ----------
    learner
        Its kind.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    size
        Events of a microbatch.
    """

    learner: str
    device: str
    size: int


@dataclass(frozen=True, slots=True)
class CellOrder:
    """What a cell's process is to do.

    Attributes
    ----------
    cell
        What is measured.
    stream, task, rows
        The rows, what is predicted, and how many there are.
    scored_from
        Rows that are left out of the score, so that it is over the same ones whatever the size.
    seconds
        Time that it may take.
    seed, threads
        Of the learner's initial values; for each operation on the CPU.
    folder
        Where its parameters are published; nobody else's.
    """

    cell: Cell
    stream: StreamOrder
    task: Task
    rows: int
    scored_from: int
    seconds: float
    seed: int
    threads: int
    folder: Path


@dataclass(frozen=True, slots=True)
class ScoredUntil:
    """Scores of all rows until some row, as the learner itself keeps them.

    Attributes
    ----------
    rows
        That had been learned.
    scores
        Name → score; ``scored`` is how many rows they are over.
    """

    rows: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long updates took.

    Attributes
    ----------
    updates
        Of full microbatches that were timed.
    mean, median, p99
        Seconds; the last is the longest where there were fewer than a hundred.
    fifths
        Events per second in each fifth of the updates, in their order: how steady it was.
    """

    updates: int
    mean: float
    median: float
    p99: float
    fifths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What came out of a cell.

    Attributes
    ----------
    timing
        None where not one update could be timed.
    rows
        That were learned and scored on the first way through the file; fewer than there are where time was over.
    early, late
        Scores until ``scored_from``, and until `rows`.
    curve
        Scores until each power of two, or the first full microbatch after it.
    memory_bytes
        See :func:`service.measuring.process_memory.growth`.
    peak_bytes
        The most that the process ever held, code and libraries included.
    device_memory_bytes
        The most that was ever in use on an accelerator; 0 on the CPU.
    error
        Why it could not be measured; empty as a rule.
    """

    timing: Timing | None = None
    rows: int = 0
    early: ScoredUntil = ScoredUntil()
    late: ScoredUntil = ScoredUntil()
    curve: tuple[ScoredUntil, ...] = ()
    memory_bytes: int | None = None
    peak_bytes: int | None = None
    device_memory_bytes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class CellStep:
    """How far a cell has come: the share of the rows, the rows, and rows learned in a second of learning."""

    share: float
    rows: int
    rate: float
