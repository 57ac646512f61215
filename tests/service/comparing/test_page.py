"""The page and the picture: complete in themselves, safe whatever things are called, and readable by everybody."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from models.examples import Task
from service.comparing.comparison import Comparison
from service.comparing.outcome import Outcome
from service.comparing.page import make_page
from service.comparing.picture import draw_picture
from tests.support.comparing import comparison, outcome
from tests.support.pages import PageReading, check_page

NASTY = "<script>alert('x')</script>&\"$stream.csv"


def usual() -> Comparison:
    """Return a comparison with something of everything."""
    return comparison(
        {
            "auto": outcome([0.7, 0.8], log_loss=0.5),
            "auto@256": outcome([0.6, 0.75], log_loss=0.5),
            "batch": outcome([0.6, 0.7], log_loss=0.9),
            "online": outcome([0.9], rows=100, log_loss=0.9),
            "majority": outcome([0.5, 0.55], log_loss=0.7),
            "mlp": Outcome(error=f"broken by {NASTY}"),
        },
        stream=NASTY,
    )


def test_the_page_needs_nothing_from_elsewhere_runs_nothing_and_suits_light_and_dark() -> None:
    """A page that is sent would be empty, tell that it was opened, run a stream's name, or be unreadable at night."""
    page = make_page(usual())
    read = check_page(page)
    assert NASTY not in page
    assert read.texts["h1"] == [f"Learners compared on {NASTY}"]


def test_the_page_says_the_result_first_and_shows_all_of_it() -> None:
    """A person would not understand it at a glance, or would miss a learner."""
    page = make_page(usual())
    read = PageReading(page)
    assert read.texts["p"][0].startswith("auto predicted best: 80.0% of all rows right; batch training came to 70.0%")
    assert page.index("predicted best") < page.index("<svg") < page.index("<table")
    assert [
        text for text in read.texts["th"] if text in {"auto", "auto@256", "batch", "online", "majority", "mlp"}
    ] == [
        "auto",
        "auto@256",
        "batch",
        "majority",
        "online",
        "mlp",
    ]
    assert "first 100" in read.texts["td"]
    assert f"broken by {NASTY}" in read.texts["td"]
    assert any("online was stopped after 100 of 1,000 rows" in text for text in read.texts["li"])
    assert read.texts["figcaption"][0] == "Accuracy so far. Higher is better."


def test_every_line_carries_its_name_and_the_drawings_their_description() -> None:
    """Lines would have to be looked up by colour, which not everybody sees, and which is never read aloud."""
    page = make_page(usual())
    drawings = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawings) == 2
    for drawing in drawings:
        assert drawing.get("role") == "img"
        names = (drawing.get("aria-labelledby") or "").split()
        told = {element.get("id"): element.text for element in drawing}
        assert all(told[name] for name in names)
    labels = [text.text for text in drawings[0].iterfind("g/text")]
    assert labels == ["online 90.0% (first 100)", "majority 55.0%", "batch 70.0%", "auto@256 75.0%", "auto 80.0%"]
    assert "At the end of the stream: auto 80.0%, auto@256 75.0%" in (drawings[0].findtext("desc") or "")
    # Where each line ends is marked, for one that ends early is easily overlooked.
    assert len(drawings[0].findall("g/circle")) == len(labels)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    width = 960.0
    for points in re.findall(r'points="([^"]+)"', page):
        assert all(0 <= float(point.split(",")[0]) <= width for point in points.split())


@pytest.mark.parametrize("found", [comparison({}), comparison({"auto": Outcome(error="no")})])
def test_a_page_without_a_result_can_be_read(found: Comparison) -> None:
    """A comparison in which all failed would end with a traceback."""
    read = PageReading(make_page(found))
    assert read.texts["p"].count("There is nothing to draw.") == 2


def test_errors_are_drawn_with_lower_being_better() -> None:
    """A person would take the worst regressor for the best."""
    errors = {"auto": outcome([2.0, 1.0], "mae"), "linear": outcome([2.0, 1e11], "mae")}
    read = PageReading(make_page(comparison(errors, Task.REGRESSION)))
    assert read.texts["figcaption"][0] == (
        "Mean absolute error so far. Lower is better. An arrow says that a line ends off the chart."
    )
    assert "linear 1e+11 ↑" in read.texts["text"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """There would be nothing to put into a report."""
    path = tmp_path / "comparison.png"
    assert draw_picture(usual(), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert len(content) > 20_000


def test_without_matplotlib_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed would cost the whole result."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not draw_picture(usual(), tmp_path / "comparison.png")
    assert list(tmp_path.iterdir()) == []
