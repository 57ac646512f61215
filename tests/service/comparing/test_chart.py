"""The chart: what a line shows, that names do not cover each other, and that one that ran away does not flatten all."""

from itertools import pairwise

import pytest

from models.examples import Task
from service.comparing.chart import TOGETHER, legend, recent, running
from service.measuring.chart import Chart
from tests.support.comparing import ROWS, comparison, outcome


def drawn(found: Chart | None) -> Chart:
    """Return a chart that there is."""
    assert found is not None
    return found


def test_lines_are_the_curves_best_first_and_told_apart() -> None:
    """Somebody would read the score of one learner off the line of another."""
    found = drawn(
        running(comparison({"mlp": outcome([0.5, 0.7]), "auto": outcome([0.6, 0.8]), "batch": outcome([0.6])}), 0.05)
    )
    assert [line.label for line in found.lines] == ["auto 80.0%", "mlp 70.0%", "batch 60.0%"]
    assert [line.best for line in found.lines] == [True, False, False]
    assert found.lines[0].points == [(500, 0.6), (1000, 0.8)]
    auto, mlp, batch = found.lines
    assert auto.dashes != mlp.dashes
    assert (auto.style, mlp.style, batch.style) == ("microbatch", "microbatch", "batch")


def test_what_colours_mean_says_how_many_rows_a_name_without_a_size_learns() -> None:
    """Nobody would know what ``auto`` beside ``auto@256`` is."""
    found = drawn(running(comparison({"auto": outcome([0.8]), "auto@256": outcome([0.7])}), 0.05))
    assert legend(found, 1024) == {"microbatch": "in microbatches of 1,024 rows, or as many as behind the @"}


def test_names_do_not_cover_each_other() -> None:
    """Names of learners that are about as good could not be read."""
    scores = {"auto": 0.8, "mlp": 0.8001, "fm": 0.8002, "linear": 0.8, "batch": 0.9, "online": 0.1}
    for space in (0.05, 0.3):
        found = drawn(running(comparison({name: outcome([score]) for name, score in scores.items()}), space))
        places = sorted(line.label_at for line in found.lines)
        assert all(0 <= place <= 1 for place in places)
        assert all(after - before >= min(space, 1 / 6) - 1e-9 for before, after in pairwise(places))
        # In the order of the scores, so that they lead where they belong.
        ends = sorted(found.lines, key=lambda line: line.points[-1][1])
        assert [line.label_at for line in ends] == places


def test_an_error_that_ran_away_leaves_the_chart() -> None:
    """One learner that diverged would press all the others flat against the axis."""
    errors = {"auto": [2.0, 1.0, 1.2], "mlp": [3.0, 2.0, 1.5], "fm": [5.0, 1e6, 1e11]}
    found = drawn(running(comparison({name: outcome(e, "mae") for name, e in errors.items()}, Task.REGRESSION), 0.05))
    assert found.up.high < 4
    assert [(line.beyond, line.label_at <= 1) for line in found.lines] == [("", True), ("", True), ("↑", True)]


def test_unsettled_scores_at_the_start_do_not_stretch_the_chart() -> None:
    """The first rows, of which chance decides, would take most of the height."""
    found = drawn(running(comparison({"auto": outcome([0.0] + [0.8] * 99), "mlp": outcome([0.7] * 100)}), 0.05))
    assert 0.6 < found.up.low < 0.7
    assert 0.8 < found.up.high < 0.9
    assert found.up.place(found.up.low) == 0
    assert found.up.place(found.up.high) == 1


def test_axes_are_marked_at_round_values() -> None:
    """A score could not be read off the chart."""
    found = drawn(running(comparison({"auto": outcome([0.8] * 20), "mlp": outcome([0.6] * 20)}), 0.05))
    assert [text for _, text in found.up.marks] == ["60%", "65%", "70%", "75%", "80%"]
    assert [text for _, text in found.across.marks] == ["0", "200", "400", "600", "800", "1,000"]
    assert all(found.up.low <= value <= found.up.high for value, _ in found.up.marks)


@pytest.mark.parametrize("scores", [[0.0], [1.0], [0.5]])
def test_a_single_value_can_be_drawn(scores: list[float]) -> None:
    """A stream of one class, or a single learner, would break the chart."""
    found = drawn(running(comparison({"auto": outcome(scores)}), 0.05))
    assert found.up.low < found.up.high
    assert found.up.marks


def test_the_recent_chart_shows_the_best_of_each_way_over_parts_of_the_stream() -> None:
    """Where the stream changes could not be seen among nine lines that cross each other all the time."""
    many = [0.5] * TOGETHER + [0.7, 0.9] * TOGETHER
    found = drawn(recent(comparison({"auto": outcome(many), "mlp": outcome([0.6]), "batch": outcome([0.4])}), 0.05))
    assert [line.label.split()[0] for line in found.lines] == ["auto", "batch"]
    part = ROWS * TOGETHER / len(many)
    assert [rows for rows, _ in found.lines[0].points] == pytest.approx([part, 2 * part, 3 * part])
    assert [score for _, score in found.lines[0].points] == pytest.approx([0.5, 0.78, 0.82])


def test_there_may_be_nothing_to_draw() -> None:
    """A comparison in which all failed would end with a traceback."""
    assert running(comparison({}), 0.05) is None
    assert recent(comparison({}), 0.05) is None
