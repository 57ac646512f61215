"""What is learned: real streams beside the project, those that River ships, and drifting ones that are made.

A stream is read here, in the project's own environment, and handed to the process that learns it as columns, so that
all learners see the very same rows.
"""

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.examples import Examples, Label, Task

REAL_GROUP, BUNDLED_GROUP, DRIFTING_GROUP = "Real streams", "River's streams", "Drifting streams"
FOLDER = Path(__file__).parents[3] / "shared" / "streams"


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows to be learned, and what is known of them.

    Attributes
    ----------
    name, task
        What it is called, and what is predicted.
    examples
        All rows, in order.
    text
        Whether its one column of strings is text.
    drifts
        Rows from which on another concept holds at once.
    concepts
        A number for the concept of each stretch between drifts, where that is known.
    """

    name: str
    task: Task
    examples: Examples
    text: bool = False
    drifts: tuple[int, ...] = ()
    concepts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stream comes from.

    Attributes
    ----------
    group
        Under which heading its results stand.
    task
        What is predicted.
    rows
        How many are learned by default; None for all.
    read
        Takes a number of rows (None for all) and a seed and returns the rows: features by name, and the label.
    text, drifts, concepts
        As in :class:`Stream`.
    """

    group: str
    task: Task
    rows: int | None
    read: Callable[[int | None, int], list[tuple[dict[str, Any], Label]]]
    text: bool = False
    drifts: tuple[int, ...] = ()
    concepts: tuple[int, ...] = ()

    @property
    def drifting(self) -> bool:
        """Whether it is made, so that another seed makes another stream."""
        return self.group == DRIFTING_GROUP

    def open(self, name: str, rows: int | None, seed: int) -> Stream:
        """Return the first rows (None: as many as by default).

        Raises
        ------
        FileNotFoundError
            The real streams do not lie beside the project.
        """
        read = self.read(self.rows if rows is None else rows, seed)
        examples = examples_of([features for features, _ in read], [label for _, label in read])
        drifts = tuple(row for row in self.drifts if row < len(read))
        return Stream(name, self.task, examples, self.text, drifts, self.concepts[: len(drifts) + 1])


def examples_of(rows: list[dict[str, Any]], labels: list[Label]) -> Examples:
    """Return rows as columns, read as the service reads events."""
    # Imported late: peers that are handed a stream need nothing of the service.
    from service.decoding.columns import features_from_rows  # noqa: PLC0415

    count = len(rows)
    return Examples(features_from_rows(rows), labels, np.ones(count, np.float32), np.full(count, np.nan))


def sources() -> dict[str, Source]:
    """Return all streams by name."""
    from benchmarks.learning.drifting import DRIFTING  # noqa: PLC0415 - it imports this module

    return {**REAL, **_bundled(), **DRIFTING}


def _bundled() -> dict[str, Source]:
    """Return the streams that River ships."""
    from models.datasets import STREAMS  # noqa: PLC0415 - River, which not every environment has

    def reader(name: str) -> Callable[[int | None, int], list[tuple[dict[str, Any], Label]]]:
        return lambda rows, _: [(dict(row.features), row.label) for row in STREAMS[name]][:rows]

    return {name: Source(BUNDLED_GROUP, stream.task, None, reader(name)) for name, stream in STREAMS.items()}


def _real(name: str, task: Task, rows: int | None = None, *, text: bool = False) -> Source:
    """Return a stream of the folder beside the project, the target in its last column."""

    def read(most: int | None, _: int) -> list[tuple[dict[str, Any], Label]]:
        with gzip.open(FOLDER / f"{name}.csv.gz", "rt", newline="") as lines:
            cells = csv.reader(lines)
            names = next(cells)
            kept = [row for _, row in zip(range(most or 1 << 62), cells, strict=False)]
        labels = [float(row[-1]) if task is Task.REGRESSION else row[-1] for row in kept]
        return [(_values(names, row), label) for row, label in zip(kept, labels, strict=True)]

    return Source(REAL_GROUP, task, rows, read, text)


def _values(names: list[str], cells: list[str]) -> dict[str, Any]:
    """Return a row's features; an empty cell is missing."""
    return {name: _value(cell) for name, cell in zip(names[:-1], cells[:-1], strict=True) if cell}


def _value(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


REAL = {
    "elec2": _real("elec2", Task.BINARY),
    "weather_noaa": _real("weather_noaa", Task.BINARY),
    "outdoor": _real("outdoor", Task.MULTICLASS),
    "sms_spam": _real("sms_spam", Task.BINARY, text=True),
    "hflights_delayed": _real("hflights_delayed", Task.BINARY, 30_000),
    "bikes_toulouse": _real("bikes_toulouse", Task.REGRESSION, 30_000),
    "fried_synth": _real("fried_synth", Task.REGRESSION, 20_000),
    "hflights_arrdelay": _real("hflights_arrdelay", Task.REGRESSION, 30_000),
}
"""The longest are cut, so that the slowest forests come to an end in minutes."""
