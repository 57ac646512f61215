"""Which rows cells have in common, and how they predicted those."""

import pytest

from models.examples import Task
from service.measuring.measures import MEASURES
from service.sweeping.cells import Cell, CellOutcome, ScoredUntil, Timing
from service.sweeping.common_rows import FEWEST, common_rows, mean_between, points_at
from service.sweeping.result import Measured
from tests.support.sweeping import ROWS, sweep

ACCURACY = MEASURES[Task.BINARY][0].key


def until(rows: int, size: int, change: int, before: float, after: float) -> ScoredUntil:
    """Return the scores of a learner that is right in a share of the rows, in another one from row `change` on."""
    scored = max(0, rows - size)
    late = min(scored, max(0, rows - change))
    right = before * (scored - late) + after * late
    return ScoredUntil(rows, {ACCURACY: right / scored, "scored": float(scored)} if scored else {"scored": 0.0})


def outcome(rows: int, size: int, before: float, after: float, change: int = 4096) -> CellOutcome:
    """Return an outcome of a cell that came so far, with its curve."""
    points = sorted({-(-(1 << power) // size) * size for power in range(rows.bit_length()) if 1 << power <= rows})
    curve = tuple(until(point, size, change, before, after) for point in points if point <= rows)
    timing = Timing(100, size / 10_000, size / 10_000, size / 10_000, (10_000.0, 10_000.0))
    return CellOutcome(timing, rows, late=until(rows, size, change, before, after), curve=curve)


def test_a_mean_between_two_points_is_that_of_the_rows_between_them() -> None:
    """Scores of other rows would be in it."""
    early, late = until(4096, 64, 4096, 0.9, 0.5), until(8192, 64, 4096, 0.9, 0.5)
    assert mean_between(early, late, ACCURACY) == pytest.approx(0.5)
    assert mean_between(late, late, ACCURACY) is None
    assert mean_between(early, ScoredUntil(8192, {"scored": 8000.0}), ACCURACY) is None


def test_cells_that_got_through_are_compared_over_what_all_predicted() -> None:
    """Large sizes would be compared with small ones over other rows."""
    whole = [outcome(50_000, 16, 0.9, 0.9), outcome(50_000, 256, 0.9, 0.9)]
    assert common_rows(whole, 50_000, 16_384) == (16_384, 50_000)
    # One that hardly began takes nothing from that.
    assert common_rows([*whole, outcome(300, 1, 0.9, 0.9)], 50_000, 16_384) == (16_384, 50_000)


def test_cells_that_were_stopped_are_compared_as_far_as_all_came() -> None:
    """A size that sees only an easy beginning would be named for it, or none that was stopped could ever be."""
    outcomes = [outcome(5_000, 16, 0.9, 0.9), outcome(50_000, 256, 0.9, 0.5), outcome(300, 1, 0.9, 0.9)]
    assert common_rows(outcomes, 50_000, 16_384) == (256, 4_096)
    small, large, slow = (points_at(each, 256, 4_096) for each in outcomes)
    assert slow is None
    assert small is not None
    assert large is not None
    assert (small[0].rows, small[1].rows, large[0].rows, large[1].rows) == (256, 4_096, 256, 4_096)
    assert mean_between(*large, ACCURACY) == pytest.approx(0.9)


def test_a_few_rows_decide_nothing() -> None:
    """Chance would name the size."""
    assert common_rows([outcome(FEWEST, 16, 0.9, 0.9), outcome(2 * FEWEST - 1, 64, 0.9, 0.9)], 50_000, 64) is None
    assert common_rows([], 50_000, 64) is None


def test_a_size_that_was_stopped_is_named_where_it_predicts_better_as_far_as_it_came() -> None:
    """A larger size would be named because it got through the file, though it predicts worse."""
    slow = Measured(Cell("auto", "cpu", 16), outcome(10 * ROWS, 16, 0.9, 0.9))
    quick = Measured(Cell("auto", "cpu", 64), outcome(20 * ROWS, 64, 0.8, 0.95, change=9_000))
    found = sweep([slow, quick], rate=2_000, rows=20 * ROWS)
    best = found.best()
    assert best is not None
    assert best[0] is slow
