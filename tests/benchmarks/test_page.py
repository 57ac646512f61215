"""The benchmark's page: sections come together, failures and bars are told, and plots are drawn of them."""

import json
import math
from pathlib import Path

import pytest

from benchmarks import page, plots
from benchmarks.page import Chapter
from benchmarks.report import Result, ratio, table
from benchmarks.sections.table import SECTIONS
from service.measuring.machine import Machine

WHERE = Machine("a processor", 2, 1.0, "a system", "3")
RATE = Result("Headrace, `mlp`", "events/s", [100_000.0, 120_000.0, 110_000.0])
POLL = Result("kafka-python's bare poll", "events/s", [130_000.0, 130_000.0])
MET = Result("rate", "×", [0.9], bar=0.85)
MISSED = Result("p99", "ms", [90.0], bar=70, at_most=True)
UNKNOWN = Result("other", "×", [], bar=1.0, failure="not installed: somewhere")


def chapter(name: str, *results: Result, failure: str = "") -> Chapter:
    """Return a section's results."""
    return Chapter(name, "2026-01-01T00:00:00+00:00", 5.0, 0.5, results, failure)


def test_a_section_measured_alone_leaves_the_others(tmp_path: Path) -> None:
    """Twenty minutes of results would be lost to one section that is measured again."""
    page.keep([chapter("memory", MISSED), chapter("json", RATE)], WHERE, tmp_path)
    text, stem = page.keep([chapter("json", MET)], WHERE, tmp_path)
    kept = page.load(stem.with_suffix(".json"))
    assert [each.name for each in kept] == ["json", "memory"]
    assert list(kept[0].results) == [MET]
    assert list(kept[1].results) == [MISSED]
    assert text == stem.with_suffix(".md").read_text()


def test_what_came_of_each_bar_is_told() -> None:
    """A bar that was missed, or not measured, would be found only by who reads the whole table."""
    text = page.markdown([chapter("json", MET, MISSED, UNKNOWN, RATE)], WHERE, "today", "stem")
    assert "Bars: 1 met, 1 missed, 1 not measured." in text
    assert "- missed: p99: 90 ms, not ≤ 70" in text
    assert "- not measured: other: not installed: somewhere" in text


def test_a_section_that_failed_is_told() -> None:
    """It would be missing in silence."""
    assert "**Not measured**: no broker" in page.markdown([chapter("json", failure="no broker")], WHERE, "d", "s")


def test_what_was_not_measured_is_no_number() -> None:
    """JSON has no NaN: other programs could not read the results."""
    found = page._as_json(chapter("json", UNKNOWN))
    assert json.loads(json.dumps(found, allow_nan=False))["results"][0]["median"] is None
    assert math.isnan(UNKNOWN.median)
    assert table([UNKNOWN])[-1] == "| other | – |  | ≥ 1 | **not measured**: not installed: somewhere |"


def test_a_ratio_of_what_failed_is_not_measured() -> None:
    """It would end the benchmark with a traceback."""
    assert ratio("x", RATE, UNKNOWN).failure == UNKNOWN.failure
    assert ratio("x", RATE, POLL).values == [100_000 / 130_000, 120_000 / 130_000]


def test_plots_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    """One figure that could not be measured would cost all plots."""
    none_may_fail = Result("failed", "", [0.0], bar=0, at_most=True)
    chapters = [chapter("json", RATE, POLL, MET, MISSED, UNKNOWN, none_may_fail), chapter("auto", POLL)]
    assert plots.rates(chapters) == [POLL, RATE]
    assert plots.reached(chapters) == [MET, MISSED]
    assert plots.share(MET) == pytest.approx(0.9 / 0.85)
    assert plots.share(MISSED) == pytest.approx(70 / 90)
    drawn = plots.draw(chapters, tmp_path / "bench")
    assert [path.name for path in drawn] == ["bench-rates.png", "bench-bars.png"]
    assert all(path.stat().st_size > 1000 for path in drawn)
    assert plots.draw([chapter("json")], tmp_path / "none") == []


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_can_be_run(name: str) -> None:
    """A section would be in the table and fail when it is run."""
    assert callable(SECTIONS[name].measure)
