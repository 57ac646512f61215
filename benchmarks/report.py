"""Results: what a measurement gives, and how it is kept, as JSON for programs and as Markdown for people."""

import datetime as dt
import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("headrace", "torch", "kafka-python", "river", "msgspec", "numpy", "fastapi", "uvicorn", "crc32c")


TITLES = {"bench": "Benchmark", "recovery": "Recovery times", "kills": "Kills under load", "flood": "Floods"}
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
    """

    name: str
    unit: str
    values: list[float]
    note: str = ""
    bar: float | None = None
    at_most: bool = False

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.median <= self.bar if self.at_most else self.median >= self.bar


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    libraries: dict[str, str] = field(default_factory=dict)


def machine() -> Machine:
    """Return a description of this machine and of the libraries measured."""
    return Machine(
        _processor(),
        os.cpu_count() or 0,
        round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        f"{platform.system()} {platform.machine()}",
        platform.python_version(),
        {name: _version(name) for name in LIBRARIES},
    )


def ratio(name: str, above: Result, below: Result, bar: float | None = None, note: str = "") -> Result:
    """Return the ratio of two figures, round by round."""
    pairs = zip(above.values, below.values, strict=True)
    return Result(name, "×", [one / other for one, other in pairs], note, bar)


def keep(results: list[Result], where: Machine, folder: Path, kind: str = "bench") -> str:
    """Write ``KIND-DATE.json`` and ``KIND-DATE.md`` and return the latter's text."""
    now = dt.datetime.now(dt.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{kind}-{now:%Y-%m-%d}"
    found = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": asdict(where),
        "results": [asdict(each) | {"median": each.median, "holds": each.holds} for each in results],
    }
    stem.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    text = _markdown(results, where, f"{TITLES[kind]} of {now:%Y-%m-%d}")
    stem.with_suffix(".md").write_text(text)
    return text


def _markdown(results: list[Result], where: Machine, title: str) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in where.libraries.items())
    lines = [
        f"# {title}",
        "",
        f"{where.processor}, {where.cores} cores, {where.memory_gib} GiB, {where.system}, Python {where.python}.",
        f"{libraries}.",
        "",
        "| what | median | all rounds | bar | |",
        "| --- | ---: | --- | ---: | --- |",
    ]
    for each in results:
        bar = "" if each.bar is None else f"{'≤' if each.at_most else '≥'} {_figure(each.bar)}"
        verdict = {None: "", True: "met", False: "**missed**"}[each.holds]
        rounds = " ".join(_figure(value) for value in each.values)
        name = f"{each.name} ({each.note})" if each.note else each.name
        lines.append(f"| {name} | {_figure(each.median)} {each.unit} | {rounds} | {bar} | {verdict} |")
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"
