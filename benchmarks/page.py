"""The result of ``make bench``: kept section by section, so that one may be measured again alone, and told as a page.

What is compared is always of one section and thus of one run: no ratio is taken between sections.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Result, as_json, bar_of, described, figure, table, write
from benchmarks.sections.table import SECTIONS
from service.measuring.machine import Machine


@dataclass(frozen=True)
class Chapter:
    """What a section found.

    Attributes
    ----------
    name
        In :data:`benchmarks.sections.table.SECTIONS`.
    measured_at
        ISO 8601.
    seconds
        How long it took, topics included.
    load
        Processes that were running or waiting for a core when it began, the mean over a minute.
    results
        In the order in which they are told.
    failure
        Why the section could not be measured at all; empty where it was.
    """

    name: str
    measured_at: str
    seconds: float
    load: float
    results: Sequence[Result]
    failure: str = ""


def keep(chapters: Sequence[Chapter], where: Machine, folder: Path) -> tuple[str, Path]:
    """Merge chapters into the day's ``bench-DATE.json`` and ``.md``; return the latter's text, and the path of both.

    A chapter takes the place of the one of that name from earlier that day.
    """
    now = dt.datetime.now(dt.UTC)
    stem = folder / f"bench-{now:%Y-%m-%d}"
    merged = {chapter.name: chapter for chapter in (*load(stem.with_suffix(".json")), *chapters)}
    ordered = [merged[name] for name in SECTIONS if name in merged]
    found = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": asdict(where),
        "sections": [_as_json(chapter) for chapter in ordered],
    }
    text = markdown(ordered, where, f"{now:%Y-%m-%d}", stem.name)
    write(stem, found, text)
    return text, stem


def load(path: Path) -> list[Chapter]:
    """Return the chapters that a file holds; none where it is not there or is of another kind."""
    if not path.exists():
        return []
    return [_from_json(each) for each in json.loads(path.read_text()).get("sections", [])]


def markdown(chapters: Sequence[Chapter], where: Machine, date: str, stem: str) -> str:
    """Return the page: the machine, what came of the bars, and a table for each section."""
    lines = [f"# Benchmark of {date}", "", *described(where), "", *_bars(chapters)]
    lines += ["", f"![rates]({stem}-rates.png)", "", f"![bars]({stem}-bars.png)"]
    for chapter in chapters:
        section = SECTIONS[chapter.name]
        lines += ["", f"## {section.title}", "", section.about]
        lines += [_when(chapter), "", *table(list(chapter.results))]
        lines += ["", f"**Not measured**: {chapter.failure}"] if chapter.failure else []
    return "\n".join(lines) + "\n"


def with_bars(chapters: Iterable[Chapter]) -> list[Result]:
    """Return all results that have a bar."""
    return [result for chapter in chapters for result in chapter.results if result.bar is not None]


def _bars(chapters: Sequence[Chapter]) -> list[str]:
    results = with_bars(chapters)
    missed = [result for result in results if result.holds is False]
    unknown = [result for result in results if result.holds is None]
    met = len(results) - len(missed) - len(unknown)
    lines = [f"Bars: {met} met, {len(missed)} missed, {len(unknown)} not measured."]
    lines += [f"- missed: {each.name}: {figure(each.median)} {each.unit}, not {bar_of(each)}" for each in missed]
    lines += [f"- not measured: {each.name}: {each.failure}" for each in unknown]
    return lines if len(lines) == 1 else [lines[0], "", *lines[1:]]


def _when(chapter: Chapter) -> str:
    moment = dt.datetime.fromisoformat(chapter.measured_at)
    return f"Measured at {moment:%H:%M} UTC in {chapter.seconds:.0f} s; the load before it was {chapter.load:.1f}."


def _as_json(chapter: Chapter) -> dict[str, Any]:
    return asdict(chapter) | {"results": [as_json(each) for each in chapter.results]}


def _from_json(found: Mapping[str, Any]) -> Chapter:
    results = [
        Result(**{name: value for name, value in each.items() if name not in ("median", "holds")})
        for each in found["results"]
    ]
    return Chapter(**{**found, "results": results})
