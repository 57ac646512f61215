"""Results of learning: partial runs come together, and tables say what is missing and what was lost."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.learning.__main__ import jobs, parse
from benchmarks.learning.cell import Job
from benchmarks.learning.measure import FLOOR
from benchmarks.learning.results import Cell, Kept, Speed, add, load
from benchmarks.learning.running import run_cell
from benchmarks.learning.streams import Stream, examples_of
from benchmarks.learning.tables import compared, markdown
from benchmarks.peers.table import ENTRIES, FAMILIES
from models.examples import Task
from service.measuring.machine import Machine

WHERE = Machine("a processor", 1, 1.0, "a system", "3")
OURS = Cell("headrace/auto", "elec2", 64, 0, 1000, {"accuracy": 0.8})
FOREST = replace(OURS, learner="river/arf-10")


def tables(*cells: Cell, speeds: list[Speed] | None = None) -> str:
    """Return the page for some cells."""
    return markdown(Kept().merged(cells, speeds or []), WHERE, "today")


def line(page: str, start: str) -> str:
    """Return the first line of a table that starts so."""
    return next(each for each in page.splitlines() if each.startswith(start))


def test_partial_runs_come_together(tmp_path: Path) -> None:
    """A run of one learner would throw away hours of the others'."""
    add(tmp_path, [OURS])
    add(tmp_path, [FOREST])
    add(tmp_path, [replace(OURS, scores={"accuracy": 0.9}), replace(OURS, rows=10), replace(OURS, seed=1)])
    kept = load(tmp_path)
    assert len(kept.cells) == 4
    assert kept.cells[OURS.key].scores == {"accuracy": 0.9}
    assert kept.cells[FOREST.key] == FOREST
    (file,) = tmp_path.glob("*.json")
    assert len(json.loads(file.read_text())["cells"]) == 4
    assert "river/arf-10" in file.with_suffix(".md").read_text()


def test_rounds_of_an_older_run_make_way() -> None:
    """Ratios would mix what was measured while the machine did other things."""
    old, new, other = Speed("a", 64, "one", 0, 5.0), Speed("a", 64, "two", 0, 6.0), Speed("b", 64, "one", 0, 7.0)
    kept = Kept().merged(speeds=[old, other]).merged(speeds=[new]).merged(speeds=[replace(new, round=1)])
    assert kept.speeds == [other, new, replace(new, round=1)]


def test_what_is_there_is_not_run_again() -> None:
    """A run that was stopped would have to begin anew; a failure would be kept for ever."""
    asked = parse(["--learners", "river/arf-10", "--streams", "sea-abrupt", "--rows", "20", "--seeds", "0"])
    wanted = {(job.delay, job.seed): job for job in jobs(asked, Kept())}
    assert set(wanted) == {(64, 0), (1, 0), (256, 0)}
    there = Cell("river/arf-10", "sea-abrupt", 1, 0, 20, {"accuracy": 1.0})
    failed = replace(there, delay=64, scores={}, failure="no")
    kept = Kept().merged([there, failed])
    assert [job.delay for job in jobs(asked, kept)] == [64, 256]
    asked.again = True
    assert len(list(jobs(asked, kept))) == 3


def test_nobody_is_asked_for_what_it_cannot() -> None:
    """Tables would be full of failures that say nothing."""
    arguments = ["--streams", "friedman-drift", "--rows", "20", "--delay", "64", "--seeds", "0"]
    learners = {job.learner for job in jobs(parse(arguments), Kept())}
    assert "capymoa/srp-100" not in learners
    assert {"capymoa/arf-100", "headrace/auto"} <= learners


def test_seeds_are_for_what_is_random() -> None:
    """The same deterministic run would be made five times, or another stream never be tried."""
    arguments = ["--learners", "river/linear", "river/arf-10", "--rows", "20", "--delay", "64", "--seeds", "0", "1"]
    found = [(job.learner, job.seed) for job in jobs(parse([*arguments, "--streams", "phishing"]), Kept())]
    assert sorted(found) == [("river/arf-10", 0), ("river/arf-10", 1), ("river/linear", 0)]
    drifting = list(jobs(parse([*arguments, "--streams", "sea-abrupt"]), Kept()))
    assert len(drifting) == 4
    assert drifting[0].stream.examples.labels != drifting[-1].stream.examples.labels


def test_losses_are_shown_as_losses() -> None:
    """The page would tell only what is good to hear."""
    page = tables(OURS, replace(FOREST, scores={"accuracy": 0.9}))
    assert line(page, "| river/arf-10 | 0 | 0 | 1 |")
    assert line(page, "| elec2 | river/arf-10 | 0.900 | 0.800 |")
    assert "Lost:" not in tables(OURS, replace(FOREST, scores={"accuracy": 0.7}))


@pytest.mark.parametrize(
    ("ours", "theirs", "score", "verdict"),
    [(0.8, 0.7, "accuracy", 1), (0.7, 0.8, "accuracy", -1), (2.0, 1.0, "mae", -1), (1.0, 2.0, "mae", 1),
     (0.8, 0.8004, "accuracy", 0)],
)  # fmt: skip
def test_who_is_ahead(ours: float, theirs: float, score: str, verdict: int) -> None:
    """An error would count as if more of it were better."""
    assert compared(ours, theirs, score) == verdict


def test_missing_failed_and_shorter_are_told_apart() -> None:
    """A figure over the first rows would stand beside others as if it were over all; a gap would seem a failure."""
    page = tables(
        OURS,
        replace(OURS, seed=1, scores={"accuracy": 0.9}),
        replace(FOREST, rows=10),
        replace(OURS, learner="capymoa/arf-100", scores={}, failure="not installed"),
        replace(OURS, learner="river/knn", stream="outdoor"),
    )
    header = line(page, "|  | elec2 (1,000)")
    assert header == "|  | elec2 (1,000) | outdoor (1,000) |"
    assert line(page, "| headrace/auto |") == "| headrace/auto | **0.850** ± 0.071 | – |"
    assert line(page, "| river/arf-10 | 0.8") == "| river/arf-10 | 0.800 (first 10) | – |"
    assert line(page, "| capymoa/arf-100 |") == "| capymoa/arf-100 | failed | – |"
    assert line(page, "| capymoa/arf-100 | elec2") == "| capymoa/arf-100 | elec2 | 64 | not installed |"


def test_throughput_is_compared_round_by_round() -> None:
    """Ratios would mix a quiet minute of one with a busy minute of another."""
    rates = {"headrace/auto": (1000.0, 300.0, 900.0), "river/arf-10": (100.0, 10.0, 100.0)}
    speeds = [Speed(who, 64, "run", at, rate) for who, rounds in rates.items() for at, rate in enumerate(rounds)]
    assert line(tables(speeds=speeds), "| headrace/auto | 64") == "| headrace/auto | 64 | 900 | 10.0 |"


def made(rows: int) -> Stream:
    """Return a small stream."""
    return Stream("made", Task.BINARY, examples_of([{"x": row} for row in range(rows)], ["a", "b"] * (rows // 2)))


def test_a_peer_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """One missing library would end the whole run."""
    monkeypatch.setitem(FAMILIES, "river", replace(FAMILIES["river"], environment="no-such-environment"))
    cell = run_cell(Job("river/arf-10", made(4), 2, 0, limit=10))
    assert "not installed" in cell.failure
    assert cell.scores == {}


def test_a_cell_runs_in_a_process_of_its_own() -> None:
    """What a peer does to its process would be done to all; a crash would leave nothing."""
    cell = run_cell(Job("river/no-change", made(6), 1, 0, limit=60))
    assert cell.failure == ""
    assert cell.scores == {
        "scored": 5.0, "accuracy": 0.0, "log_loss": pytest.approx(-math.log(FLOOR)), "calibration_error": 1.0
    }  # fmt: skip
    assert (cell.rows, cell.delay) == (6, 1)
    assert cell.version.startswith("river ")
    broken = run_cell(Job("river/no-such-learner", made(2), 1, 0, limit=60))
    assert broken.failure == "KeyError: 'no-such-learner'"


def test_every_learner_has_a_family() -> None:
    """A name in the table would lead nowhere."""
    assert {name.partition("/")[0] for name in ENTRIES} == set(FAMILIES)
