"""One learner's turn: its scores along the stream, its time, and its process."""

from pathlib import Path

import pytest

from models.errors import ModelError
from models.examples import Task
from service.comparing.learner_names import parse_entrants
from service.comparing.outcome import POINTS, Outcome, Step, Turn
from service.comparing.processes import TurnProcesses
from service.comparing.turn import take_turn
from service.measuring.stream import StreamOrder
from service.replaying.replay_events import Roles
from tests.support.comparing import easy_file

BROKEN = """
import os
import signal

import torch


class Dying(torch.nn.Module):
    def __init__(self, inputs, outputs):
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(torch.nn.Module):
    def __init__(self, inputs, outputs):
        raise RuntimeError("told so")
"""


def make_turn(file: Path, name: str, rows: int = 600, delay: int = 5, seconds: float | None = None) -> Turn:
    """Return a turn of a learner on the file that is easy to learn."""
    (entrant,) = parse_entrants(name)
    return Turn(entrant, StreamOrder(file, Roles("y")), Task.MULTICLASS, rows, delay, seconds, 0, 1)


def test_the_curve_goes_along_the_stream_and_ends_at_the_score(tmp_path: Path) -> None:
    """The plot would show something else than the table."""
    done = Outcome()
    list(take_turn(make_turn(easy_file(tmp_path), "majority"), done))
    assert done.rows == 600
    assert done.curve["rows"][-1] == 600
    assert POINTS / 2 <= len(done.curve["rows"]) <= POINTS
    assert done.curve["accuracy"][-1] == done.scores["accuracy"]
    assert done.scores["scored"] == 595
    assert {len(column) for column in done.curve.values()} == {len(done.curve["rows"])}
    # Six rows a point: the last point's own score is that of the last six rows.
    assert (done.curve["recent_accuracy"][-1] or 0) * 6 == pytest.approx(
        round((done.curve["recent_accuracy"][-1] or 0) * 6)
    )
    assert 0 < done.learning_seconds < done.seconds


def test_a_turn_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """A slow learner would keep everybody waiting, or its score would be told as that of the whole stream."""
    done = Outcome()
    list(take_turn(make_turn(easy_file(tmp_path), "majority", seconds=1e-9), done))
    assert done.rows == 5
    assert done.curve["rows"] == [5]


def test_classes_are_not_scored_before_the_first_is_known(tmp_path: Path) -> None:
    """The curve would begin at 0, and at a long delay a short stream's score would be made of it."""
    done = Outcome()
    list(take_turn(make_turn(easy_file(tmp_path), "majority", delay=200), done))
    assert (done.curve["accuracy"][0], done.curve["log_loss"][0]) == (None, None)
    assert (done.rows, done.scores["scored"]) == (600, 400)
    assert done.curve["accuracy"][-1] == done.scores["accuracy"] > 0.4
    unknown = Outcome()
    list(take_turn(make_turn(easy_file(tmp_path), "majority", delay=600), unknown))
    assert unknown.scores == {"scored": 0}


def test_numbers_are_not_scored_before_the_first_is_known(tmp_path: Path) -> None:
    """The curve of a regressor would begin with an error as large as the labels."""
    path = tmp_path / "numbers.csv"
    path.write_text("x,y\n" + "".join(f"{n},{1e6 + n % 7 + 0.5}\n" for n in range(40)))
    turn = Turn(parse_entrants("mean")[0], StreamOrder(path, Roles("y")), Task.REGRESSION, 40, 10, None, 0, 1)
    done = Outcome()
    list(take_turn(turn, done))
    assert done.curve["mae"][0] is None
    assert done.curve["rows"] == [10, 20, 30, 40]
    assert all(error is not None and error < 4 for error in done.curve["mae"][1:])


def test_options_that_no_learner_takes_are_told(tmp_path: Path) -> None:
    """A network of one's own that is not there would be a traceback."""
    with pytest.raises(ModelError, match="missing"):
        list(take_turn(make_turn(easy_file(tmp_path), f"{tmp_path}/missing.py:Net"), Outcome()))


def test_learners_have_processes_of_their_own_and_one_that_dies_takes_nobody_with_it(tmp_path: Path) -> None:
    """A learner that runs out of memory would end the whole comparison, and the results of the others with it."""
    file, steps = easy_file(tmp_path), list[Step]()
    network = tmp_path / "broken.py"
    network.write_text(BROKEN)
    processes = TurnProcesses()
    processes.prepare()
    processes.wait()
    dying, failing, fine = (
        processes.run(make_turn(file, name, delay=64), steps.append)
        for name in (f"{network}:Dying", f"{network}:Failing", "online")
    )
    assert dying.error == "its process was ended by SIGKILL, probably for lack of memory"
    assert "told so" in failing.error
    assert (fine.error, fine.rows) == ("", 600)
    assert fine.scores["accuracy"] > 0.7
    assert fine.memory_bytes is None or fine.memory_bytes < 200 * 2**20
