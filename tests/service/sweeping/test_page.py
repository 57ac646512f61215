"""The page and the picture of a sweep: understood at a glance, complete, and honest about what is not comparable."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from service.sweeping.cells import Cell, CellOutcome
from service.sweeping.page import make_page
from service.sweeping.picture import draw_picture
from service.sweeping.result import Measured, Sweep
from tests.support.pages import PageReading, check_page
from tests.support.sweeping import cell_outcome, sweep, usual

NASTY = "<script>alert('x')</script>&\"$stream.csv"


def varied() -> Sweep:
    """Return a sweep with something of everything."""
    failed = Measured(Cell("mlp", "cpu", 64), CellOutcome(error=f"broken by {NASTY}"))
    stopped = Measured(Cell("mlp", "cpu", 16), cell_outcome(16, 0.1, 0.99, rows=300))
    return sweep([*usual(), *usual("cuda"), stopped, failed], rate=2000, stream=NASTY)


def drawings(page: str) -> list[ET.Element]:
    """Return the charts of a page."""
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_needs_nothing_from_elsewhere_runs_nothing_and_suits_light_and_dark() -> None:
    """A page that is sent would be empty, tell that it was opened, run a stream's name, or be unreadable at night."""
    page = make_page(varied())
    read = check_page(page)
    assert NASTY not in page
    assert read.texts["h1"] == [f"Microbatch sizes swept on {NASTY}"]


def test_the_page_says_the_best_setting_first_and_shows_all_of_it() -> None:
    """A person would not know what to do, or would miss a cell."""
    found = varied()
    page = make_page(found)
    read = PageReading(page)
    assert read.texts["p"][0].startswith("Best for 100 ms at 2,000 events/s: auto on cpu in microbatches of 16: 4,000 ")
    assert page.index("Best for") < page.index("<pre>models:") < page.index("<svg") < page.index("<table")
    assert read.texts["pre"][0] == found.configuration().strip()
    assert len([row for row in read.named("tr") if row]) == 1  # the one that is marked
    assert f"broken by {NASTY}" in read.texts["td"]
    assert any("1 of 9 were stopped" in text for text in read.texts["li"])
    assert any("A processor, 2 cores" in text and "CUDA" in text for text in read.texts["p"])


def test_each_quantity_has_a_chart_with_its_unit_and_the_named_setting_in_it() -> None:
    """A person would have to guess what an axis means, or look for the setting that is named."""
    page = make_page(varied())
    titles = PageReading(page).texts["strong"]
    assert titles == ["Throughput (events/s)", "Added delay (ms)", "Accuracy (%)", "Update time (ms)", "Memory (MiB)"]
    for drawing, title in zip(drawings(page), titles, strict=True):
        assert drawing.get("role") == "img"
        assert drawing.findtext("title") == title
        assert "in microbatches of 16" in (drawing.findtext("desc") or "")
        assert len(drawing.findall("g/circle[@class='ring']")) == 1
        assert "events in a microbatch" in [text.text for text in drawing.iterfind("text")]
        names = [text.text for text in drawing.iterfind("g/text")]
        # That one keeps up with nothing, so that its delay has no end.
        assert ("mlp on cpu" in names) == (title != "Added delay (ms)")
        assert {"auto on cpu", "auto on cuda"} <= set(names)


def test_a_score_over_other_rows_stands_apart() -> None:
    """A line would lead from the score of an easy start to that of the whole stream, as if the size made it."""
    accuracy = drawings(make_page(varied()))[2]
    hollow = accuracy.findall("g/circle[@class='hollow']")
    assert len(hollow) == 1
    lines = [line.get("points") for line in accuracy.findall("g/polyline[@clip-path]")]
    assert [len((points or "").split()) for points in lines] == [0, 4, 4]


def test_the_objective_is_drawn() -> None:
    """Nobody would see which sizes are fresh enough."""
    delay = drawings(make_page(varied()))[1]
    assert [text.text for text in delay.findall("g[@class='bound']/text")] == ["asked for: 100 ms"]


@pytest.mark.parametrize("found", [sweep([]), sweep([Measured(Cell("auto", "cpu", 1), CellOutcome(error="no"))])])
def test_a_page_without_a_result_can_be_read(found: Sweep, tmp_path: Path) -> None:
    """A sweep in which all failed would end with a traceback."""
    assert "There is nothing to draw." in PageReading(make_page(found)).texts["p"]
    assert not draw_picture(found, tmp_path / "sweep.png")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """There would be nothing to put into a report."""
    path = tmp_path / "sweep.png"
    assert draw_picture(varied(), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert len(content) > 20_000
