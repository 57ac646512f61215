"""What is kept: a cell for each learner, stream, delay, seed and number of rows, so that runs may be partial.

A run adds its cells to the newest file of the folder, one after the other as they come, and a table is made of all.
Two runs at once are possible: each reads and writes under a lock.
"""

import datetime as dt
import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import machine
from service.measuring.machine import Machine

PREFIX = "learning-"


class Key(NamedTuple):
    """What a cell is found by."""

    learner: str
    stream: str
    delay: int
    seed: int
    rows: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One learner over one stream.

    Attributes
    ----------
    learner, stream, delay, seed, rows
        Who learned what; the labels of `delay` rows are learned at once.
    scores
        As :class:`benchmarks.learning.measure.Measured` has them; empty where it failed.
    seconds, memory_mib
        Processor time for answering and learning, and the most memory of the process, imports included.
    version
        Of the learner's library.
    measured_at
        When, in ISO 8601.
    failure
        Why there is no score; empty where there is one.
    """

    learner: str
    stream: str
    delay: int
    seed: int
    rows: int
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    memory_mib: float = 0.0
    version: str = ""
    measured_at: str = ""
    failure: str = ""

    @property
    def key(self) -> Key:
        """What it is found by."""
        return Key(self.learner, self.stream, self.delay, self.seed, self.rows)


@dataclass(frozen=True, slots=True)
class Speed:
    """One round of throughput.

    Attributes
    ----------
    learner, microbatch
        Who, in blocks of how many rows.
    run, round
        Figures are compared within a run, named by when it began, round by round.
    per_second
        Events answered and learned in a second of processor time.
    failure
        Why there is no figure.
    """

    learner: str
    microbatch: int
    run: str
    round: int
    per_second: float = 0.0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything in a file of results."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    speeds: list[Speed] = field(default_factory=list)

    def merged(self, cells: Iterable[Cell] = (), speeds: Iterable[Speed] = ()) -> "Kept":
        """Return these and others; a cell that is there already is replaced, and so are throughputs of older runs."""
        new = list(speeds)
        runs = {(each.learner, each.microbatch): each.run for each in new}
        old = [each for each in self.speeds if runs.get((each.learner, each.microbatch), each.run) == each.run]
        return Kept({**self.cells, **{cell.key: cell for cell in cells}}, old + new)


def now() -> str:
    """Return the time as results carry it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def load(folder: Path) -> Kept:
    """Return what the newest file of a folder holds; nothing where there is none."""
    files = sorted(folder.glob(f"{PREFIX}*.json"))
    if not files:
        return Kept()
    found = json.loads(files[-1].read_text())
    cells = [Cell(**cell) for cell in found["cells"]]
    return Kept({cell.key: cell for cell in cells}, [Speed(**speed) for speed in found["speeds"]])


def add(folder: Path, cells: Iterable[Cell] = (), speeds: Iterable[Speed] = ()) -> Kept:
    """Merge results into those of a folder, write them under today's date, and return all."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        kept = load(folder).merged(cells, speeds)
        _write(kept, folder, machine())
    return kept


def _write(kept: Kept, folder: Path, where: Machine) -> None:
    # Imported late: tables are made of what is defined here.
    from benchmarks.learning.tables import markdown  # noqa: PLC0415

    stem = folder / f"{PREFIX}{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    found: dict[str, Any] = {
        "measured_at": now(),
        "machine": asdict(where),
        "cells": [asdict(kept.cells[key]) for key in sorted(kept.cells)],
        "speeds": [asdict(speed) for speed in kept.speeds],
    }
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    stem.with_suffix(".md").write_text(markdown(kept, where, stem.name.removeprefix(PREFIX)))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runs from writing meanwhile."""
    with (folder / ".learning.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
