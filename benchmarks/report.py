"""Results: what a measurement gives, and how it is kept, as JSON for programs and as Markdown for people."""

import argparse
import datetime as dt
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.measuring.machine import Machine, this_machine

LIBRARIES = (
    "headrace",
    "torch",
    "kafka-python",
    "confluent-kafka",
    "river",
    "msgspec",
    "numpy",
    "pyarrow",
    "fastapi",
    "uvicorn",
    "crc32c",
)

RESULTS = Path(__file__).parent / "results"

TITLES = {
    "recovery": "Recovery times",
    "kills": "Kills under load",
    "flood": "Floods",
    "steps": "Gradient steps",
    "keyed": "One small model for each key",
    "challengers": "Challengers",
    "joining": "Labels that come later",
}
"""What kinds of results there are, and what they are called."""


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes
    ----------
    name, unit
        What it is.
    values
        One a round.
    note
        What a reader must know about it.
    bar
        What it is to reach at least (or, `at_most`, at most); None where it is only reported.
    failure
        Why there are fewer values than rounds, or none; empty where nothing failed.
    """

    name: str
    unit: str
    values: list[float]
    note: str = ""
    bar: float | None = None
    at_most: bool = False
    failure: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds; NaN where there are none."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where there is none, or nothing that could meet it."""
        if self.bar is None or not self.values:
            return None
        return self.median <= self.bar if self.at_most else self.median >= self.bar


def machine() -> Machine:
    """Return a description of this machine and of the libraries measured."""
    return this_machine(LIBRARIES)


def ratio(
    name: str, above: Result, below: Result, bar: float | None = None, note: str = "", *, at_most: bool = False
) -> Result:
    """Return the ratio of two figures, round by round; rounds that one of them lacks are left out."""
    values = [one / other for one, other in zip(above.values, below.values, strict=False)]
    return Result(name, "×", values, note, bar, at_most, "" if values else above.failure or below.failure)


def add_results_option(parser: argparse.ArgumentParser) -> None:
    """Have a program take the folder for its results."""
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (%(default)s)")


def finish(results: list[Result], folder: Path, kind: str) -> int:
    """Keep and print results; return the program's status, 1 where a bar is missed."""
    print(keep(results, machine(), folder, kind))
    return int(any(each.holds is False for each in results))


def keep(results: list[Result], where: Machine, folder: Path, kind: str) -> str:
    """Write ``KIND-DATE.json`` and ``KIND-DATE.md`` and return the latter's text."""
    now = dt.datetime.now(dt.UTC)
    found = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": asdict(where),
        "results": [as_json(each) for each in results],
    }
    text = "\n".join([f"# {TITLES[kind]} of {now:%Y-%m-%d}", "", *described(where), "", *table(results)]) + "\n"
    write(folder / f"{kind}-{now:%Y-%m-%d}", found, text)
    return text


def write(stem: Path, found: Mapping[str, Any], text: str) -> None:
    """Write what was found beside each other as `stem` ``.json`` and `stem` ``.md``."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    stem.with_suffix(".md").write_text(text)


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as it is kept, with its median (null where there is none) and whether its bar is met."""
    return asdict(result) | {"median": result.median if result.values else None, "holds": result.holds}


def described(where: Machine) -> list[str]:
    """Return lines that say on what and with what it was measured."""
    libraries = ", ".join(f"{name} {number}" for name, number in where.libraries.items())
    return [
        f"{where.processor}, {where.cores} cores, {where.memory_gib} GiB, {where.system}, Python {where.python}.",
        f"{libraries}.",
    ]


def table(results: list[Result]) -> list[str]:
    """Return the lines of a Markdown table, a result a line."""
    lines = ["| what | median | all rounds | bar | |", "| --- | ---: | --- | ---: | --- |"]
    for each in results:
        name = f"{each.name} ({each.note})" if each.note else each.name
        median = f"{figure(each.median)} {each.unit}".strip() if each.values else "–"
        rounds = " ".join(figure(value) for value in each.values)
        lines.append(f"| {name} | {median} | {rounds} | {bar_of(each)} | {_verdict(each)} |")
    return lines


def bar_of(result: Result) -> str:
    """Return a result's bar for people; empty where it has none."""
    return "" if result.bar is None else f"{'≤' if result.at_most else '≥'} {figure(result.bar)}"


def _verdict(result: Result) -> str:
    if not result.values:
        return f"**not measured**: {result.failure}"
    words = {None: "", True: "met", False: "**missed**"}[result.holds]
    return f"{words} (failed later: {result.failure})".strip() if result.failure else words


def figure(value: float) -> str:
    """Return a figure with three digits that mean something; four close to 1, where a bar may be 1.03."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 0.9 <= abs(value) < 1.1 else f"{value:.3g}"
