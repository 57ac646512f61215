"""What came out of a sweep: all cells, which of them is best, and the lines that configure it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.examples import Task
from service.measuring.machine import Machine
from service.measuring.measures import MEASURES, Measure
from service.sweeping.cells import Cell, CellOutcome, Timing
from service.sweeping.choice import Candidate, Choice, choose
from service.sweeping.common_rows import common_rows, mean_between, points_at, rows_between
from service.sweeping.configuration import configuration


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell, and what came out of it."""

    cell: Cell
    outcome: CellOutcome

    @property
    def timing(self) -> Timing | None:
        """How long updates took; None where that was not to be measured."""
        return self.outcome.timing

    @property
    def throughput(self) -> float:
        """Events a second, each predicted, learned and published; 0 where nothing was timed."""
        return self.cell.size / self.timing.mean if self.timing and self.timing.mean > 0 else 0.0

    @property
    def steadiness(self) -> float | None:
        """Return by which share the fifths of the run differ from their middle, at most; None for a single one."""
        fifths = self.timing.fifths if self.timing else ()
        return (max(fifths) - min(fifths)) / (max(fifths) + min(fifths)) if len(fifths) > 1 else None

    def scored(self) -> int:
        """Return how many rows :meth:`score` is over."""
        return rows_between(self.outcome.early, self.outcome.late)

    def score(self, measure: Measure) -> float | None:
        """Return the score over the rows after the early ones; None where there is none."""
        return mean_between(self.outcome.early, self.outcome.late, measure.key)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep.

    Attributes
    ----------
    stream, label, task, rows, seed, threads
        What was done.
    scored_from
        Rows before those that the scores are over; as many as the largest microbatch, which nobody predicts.
    freshness
        Seconds that an event may be delayed.
    rate
        Events a second that come; None where nobody said.
    machine, load
        Where, and how many processes wanted a core over the minute before.
    devices
        Name → what it is called by who made it.
    left_out
        Reason → rows that were not used, ``unlabelled`` among them.
    larger
        Sizes that the file was too short for.
    cells
        By learner, device and size.
    """

    stream: str
    label: str | None
    task: Task
    rows: int
    seed: int
    threads: int
    scored_from: int
    freshness: float
    rate: float | None
    machine: Machine
    load: float
    devices: Mapping[str, str]
    left_out: Mapping[str, int]
    larger: Sequence[int]
    cells: Sequence[Measured]

    @property
    def measure(self) -> Measure:
        """The score of the task."""
        return MEASURES[self.task][0]

    @property
    def timed(self) -> list[Measured]:
        """Cells of which something was timed."""
        return [each for each in self.cells if each.throughput > 0]

    def whole(self, measured: Measured) -> bool:
        """Return whether a cell got through the file, so that its score is over the same rows as that of others."""
        return measured.outcome.rows >= self.rows

    def delay(self, measured: Measured) -> float:
        """Return the added delay of a cell, in seconds."""
        return self._candidate(measured).delay(self.rate)

    def sustains(self, measured: Measured) -> bool:
        """Return whether a cell keeps up with the rate."""
        return self._candidate(measured).sustains(self.rate)

    def best(self) -> tuple[Measured, Choice] | None:
        """Return the cell that is named, and whether it does what is asked; None where nothing was timed."""
        bare = [self._candidate(each) for each in self.timed]
        able = [each.outcome for each, one in zip(self.timed, bare, strict=True) if one.fits(self.freshness, self.rate)]
        among = common_rows(able, self.rows, self.scored_from)
        scored = [self._scored(one, each.outcome, among) for one, each in zip(bare, self.timed, strict=True)]
        choice = choose(scored, self.freshness, self.rate)
        return None if choice is None else (self.timed[choice.place], choice)

    def configuration(self) -> str:
        """Return lines for ``headrace.yaml`` that configure the best cell; empty where there is none."""
        best = self.best()
        return "" if best is None else configuration(best[0].cell, self.freshness, self._candidate(best[0]).update)

    def as_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        best = self.best()
        return {
            "stream": self.stream,
            "label": self.label,
            "task": self.task.value,
            "rows": self.rows,
            "scored_from": self.scored_from,
            "seed": self.seed,
            "threads": self.threads,
            "freshness_ms": self.freshness * 1000,
            "rate": self.rate,
            "left_out": dict(self.left_out),
            "sizes_left_out": list(self.larger),
            "machine": asdict(self.machine) | {"load": round(self.load, 2), "devices": dict(self.devices)},
            "cells": [self._cell(each) for each in self.cells],
            "best": None if best is None else {**asdict(best[0].cell), "verdict": best[1].verdict.value},
            "configuration": self.configuration(),
        }

    def _candidate(self, measured: Measured) -> Candidate:
        timing = measured.timing
        return Candidate(measured.cell.size, measured.throughput, timing.p99 if timing else 0.0)

    def _scored(self, candidate: Candidate, outcome: CellOutcome, among: tuple[int, int] | None) -> Candidate:
        """Return a candidate with how it predicted rows that the others predicted too."""
        ends = None if among is None else points_at(outcome, *among)
        score = None if ends is None else mean_between(*ends, self.measure.key)
        if ends is None or score is None:
            return candidate
        # A share differs by about 1 / √rows for no reason, an error by as much of itself.
        chance = (1.0 if self.measure.share else abs(score)) / math.sqrt(rows_between(*ends))
        return replace(candidate, loss=1 - score if self.measure.share else score, chance=chance)

    def _cell(self, measured: Measured) -> dict[str, Any]:
        outcome, timing = measured.outcome, measured.timing
        said: dict[str, Any] = asdict(measured.cell)
        if outcome.error or timing is None:
            return said | {"error": outcome.error or "its time was over before one update could be timed"}
        return said | {
            "events_per_second": round(measured.throughput, 1),
            "events_per_second_fifths": [round(rate, 1) for rate in timing.fifths],
            "updates": timing.updates,
            "update_ms": {name: round(1000 * getattr(timing, name), 4) for name in ("mean", "median", "p99")},
            "added_delay_ms": round(1000 * self.delay(measured), 3),
            "sustains_rate": self.sustains(measured),
            "memory_bytes": outcome.memory_bytes,
            "peak_bytes": outcome.peak_bytes,
            "device_memory_bytes": outcome.device_memory_bytes,
            "rows": outcome.rows,
            "partial": not self.whole(measured),
            "scored": measured.scored(),
            self.measure.key: measured.score(self.measure),
        }
