"""What comes out of a sweep: scores over the same rows, the setting that is named, and lines that configure it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.examples import Task
from service.config import load_settings
from service.measuring.measures import MEASURES
from service.sweeping.cells import Cell, CellOutcome
from service.sweeping.choice import Verdict
from service.sweeping.configuration import configuration
from service.sweeping.result import Measured
from service.sweeping.words import conclusion, notes
from tests.support.sweeping import ROWS, cell_outcome, sweep, usual

KINDS = ["auto", "online", "own nets/my-net.py:Net", "a: b#c.py:Net"]

ACCURACY = MEASURES[Task.BINARY][0]


def test_scores_are_over_the_rows_after_those_that_the_largest_size_predicts_from_nothing() -> None:
    """Large sizes would be compared with small ones over other rows."""
    for size in (1, 100, 400):
        measured = Measured(Cell("auto", "cpu", size), cell_outcome(size, 0.1, accuracy=0.8, early=0.1))
        assert measured.score(ACCURACY) == pytest.approx(0.8)
        assert measured.scored() == ROWS - 500


def test_one_that_was_stopped_is_scored_over_what_it_saw_and_not_compared() -> None:
    """A size that saw a few easy rows would be named the best."""
    stopped = Measured(Cell("auto", "cpu", 1), cell_outcome(1, 0.0002, accuracy=0.99, rows=300))
    found = sweep([stopped, *usual()[1:]], rate=2000)
    assert stopped.score(ACCURACY) == pytest.approx(0.99)
    assert not found.whole(stopped)
    best = found.best()
    assert best is not None
    assert best[0].cell.size == 16
    assert any("1 of 4 were stopped before the end of the file" in told for told in notes(found))


def test_the_best_is_told_with_what_it_brings() -> None:
    """A person would have to work out from the table what to do."""
    assert conclusion(sweep(usual())) == (
        "Best for 100 ms: auto in microbatches of 256: 8,530 events/s, added delay 75 ms, accuracy 70.0%."
    )
    known = sweep(usual(), rate=2000)
    assert conclusion(known).startswith("Best for 100 ms at 2,000 events/s: auto in microbatches of 16: 4,000 events/s")
    assert conclusion(sweep(usual(), freshness=0.001)).startswith("Nothing here learns an event within 1.0 ms; the nea")
    assert conclusion(sweep(usual(), rate=1e5)).startswith(
        "Nothing here keeps up with 100,000 events/s and has a fifth to "
    )
    assert conclusion(sweep([])) == "Nothing could be measured."
    both = sweep(usual() + usual("cuda"))
    assert conclusion(both).startswith("Best for 100 ms: auto on cpu in")


def test_programs_are_told_everything() -> None:
    """A program could not use the result, or a cell without one would be taken for a fast one."""
    failed = Measured(Cell("mlp", "cpu", 64), CellOutcome(error="it is broken"))
    found = json.loads(json.dumps(sweep([*usual(), failed], rate=1000).as_json()))
    assert found["best"] == {"learner": "auto", "device": "cpu", "size": 16, "verdict": "met"}
    cell = found["cells"][2]
    assert (cell["size"], cell["events_per_second"], cell["accuracy"]) == (64, 6400.0, pytest.approx(0.8))
    assert cell["update_ms"] == {"mean": 10.0, "median": 9.0, "p99": 15.0}
    assert cell["added_delay_ms"] == pytest.approx(63 + 15)
    assert found["cells"][-1] == {"learner": "mlp", "device": "cpu", "size": 64, "error": "it is broken"}
    assert found["machine"]["devices"] == {"cpu": "CPU"}
    assert found["configuration"].startswith("models:")


def test_what_has_to_be_known_is_said() -> None:
    """Figures of a busy machine, or of half of a file, would be taken for more than they are."""
    found = replace(sweep(usual()), load=5.0, larger=[4096], left_out={"label": 3})
    told = " | ".join(notes(found))
    for words in ("the machine was busy", "too short: sizes 4,096", "left out: 3 label", "say --rate"):
        assert words in told
    assert notes(sweep(usual(), rate=100)) == []


@given(
    st.builds(Cell, st.sampled_from(KINDS), st.sampled_from(["cpu", "cuda", "cuda:3"]), st.integers(1, 1_000_000)),
    st.floats(1e-3, 3600),
    st.floats(0, 10_000),
)
def test_the_lines_are_a_configuration_and_keep_the_objective(
    tmp_path_factory: pytest.TempPathFactory, cell: Cell, freshness: float, update: float
) -> None:
    """Somebody who pastes the lines would be refused, or would configure something else than was measured."""
    path = Path(tmp_path_factory.getbasetemp()) / "pasted.yaml"
    path.write_text(configuration(cell, freshness, update))
    model = load_settings(path, {}).models["default"]
    assert (model.learner.kind, model.learner.device) == (cell.learner, cell.device)
    assert model.microbatch.max_size == cell.size
    assert model.microbatch.objective.freshness_ms == pytest.approx(1000 * freshness)
    assert model.microbatch.max_delay_ms / 1000 + update <= freshness or model.microbatch.max_delay_ms == 0


def test_events_of_a_full_microbatch_may_wait_for_each_other() -> None:
    """The microbatch that was measured would be cut before it is full at the rate that was asked for."""
    for rate in (None, 500, 2000, 6000):
        found = sweep(usual(), rate=rate)
        best = found.best()
        assert best is not None
        if best[1].verdict is Verdict.MET:
            timing = best[0].timing
            assert timing is not None
            waits = (best[0].cell.size - 1) / (rate or best[0].throughput)
            assert 1000 * waits <= 1000 * (found.freshness - timing.p99) + 1
