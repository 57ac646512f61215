"""``headrace compare``: what it prints, what it leaves behind, and what it says of wrong input."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from service.comparing import compare
from service.comparing.outcome import Outcome, Step, Turn
from tests.support.commands import run_headrace
from tests.support.comparing import easy_file, outcome


class FakeProcesses:
    """Gives outcomes without testing anything; keeps what it was asked."""

    turns: list[Turn]

    def __init__(self) -> None:
        type(self).turns = []

    def prepare(self) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Do nothing."""

    def run(self, turn: Turn, notice: Callable[[Step], None]) -> Outcome:
        self.turns.append(turn)
        notice(Step(10, 5.0, {"accuracy": 0.5}))
        if turn.entrant.kind == "mlp":
            return Outcome(error="it is broken")
        return outcome([0.5, 0.9 if turn.entrant.kind == "auto" else 0.7], rows=turn.rows, log_loss=0.5)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs ``headrace compare ARGUMENTS`` with fake learners, in an empty folder."""
    monkeypatch.setattr(compare, "TurnProcesses", FakeProcesses)
    monkeypatch.chdir(tmp_path)

    return partial(run_headrace, monkeypatch, capsys, "compare")


Run = Callable[..., tuple[int, str, str]]


def test_a_table_and_files_come_out(run: Run, tmp_path: Path) -> None:
    """A person would see no result, or have nothing to show to others."""
    status, out, err = run(str(easy_file(tmp_path)), "--label", "y", "--learners", "online,mlp,auto")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("auto", "online", "mlp")][:3] == ["auto", "online", "mlp"]
    assert "auto predicted best: 90.0% of all rows right" in out
    assert "mlp could not be tested: it is broken" in out
    assert "comparison: comparison.json, comparison.html, comparison.png" in out
    assert "online (1 of 3)" in err
    kept = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert [result["learner"] for result in kept["results"]] == ["auto", "online", "mlp"]
    assert "<svg" in (tmp_path / "comparison" / "comparison.html").read_text(encoding="utf-8")
    assert [(turn.delay, turn.rows, turn.seconds) for turn in FakeProcesses.turns] == [(64, 600, None)] * 3


def test_a_program_reads_the_last_line(run: Run, tmp_path: Path) -> None:
    """A program could not use the result."""
    arguments = ("--label", "y", "--learners", "auto@256,no-change", "--delay", "32", "--seed", "7", "--json")
    status, out, _ = run(str(easy_file(tmp_path)), *arguments, "--output", "kept/here", "--rows", "500")
    found = json.loads(out.splitlines()[-1])
    assert (status, found["rows"], found["delay"], found["seed"]) == (0, 500, 32, 7)
    assert found["stream"] == "easy.csv"
    assert [result["learner"] for result in found["results"]] == ["auto@256", "no-change"]
    assert {"accuracy", "log_loss", "events_per_second"} <= found["results"][0].keys()
    assert json.loads((tmp_path / "kept" / "here" / "comparison.json").read_text()) == found
    assert {turn.seed for turn in FakeProcesses.turns} == {7}


def test_a_first_look_is_bounded_in_time_and_fits_the_task(run: Run, tmp_path: Path) -> None:
    """The usual comparison would take hours on a long stream, or show the mean of classes."""
    assert run(str(easy_file(tmp_path)), "--label", "y")[0] == 0
    turns = FakeProcesses.turns
    assert "mean" not in {turn.entrant.name for turn in turns}
    # Together: nobody may take all but the last, and what the others left over is the last one's.
    shares = [turn.seconds or 0.0 for turn in turns]
    assert shares[0] <= compare.SECONDS / 2
    assert shares[-1] > 1.5 * shares[-2]
    assert compare.SECONDS <= 100
    assert run(str(easy_file(tmp_path)), "--label", "y", "--seconds", "0")[0] == 0
    assert {turn.seconds for turn in FakeProcesses.turns} == {None}


def test_without_matplotlib_the_rest_comes_out(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed would cost the whole result, or nobody would know what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = run(str(easy_file(tmp_path)), "--label", "y", "--learners", "auto")
    assert status == 0
    assert "install matplotlib: headrace[plot]" in err
    assert "comparison: comparison.json, comparison.html\n" in out


def test_rows_that_cannot_be_used_are_told(run: Run, tmp_path: Path) -> None:
    """Somebody would compare on half of a stream without knowing it."""
    path = tmp_path / "mixed.csv"
    path.write_text("x,y\n1,1.5\n2,red\n3,2.5\n4,\n")
    status, out, err = run(str(path), "--label", "y", "--task", "regression", "--learners", "mean")
    assert status == 1  # not one score: the fake has no error to show
    assert "rows that cannot be used: 1; the first is row 2: " in err
    assert "rows that were left out: 1 label, 1 unlabelled" in out


def test_a_folder_that_cannot_be_written_to_is_told_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes of comparing would be lost at the end."""
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name != "kept")  # root may write anywhere
    status, _, err = run(str(easy_file(tmp_path)), "--label", "y", "--learners", "auto", "--output", "kept")
    assert (status, FakeProcesses.turns) == (1, [])
    assert "error: kept: Permission denied" in err


def test_the_real_command_tests_real_learners(tmp_path: Path) -> None:
    """The command as it is installed would not find its own learners' processes."""
    program = Path(sys.executable).with_name("headrace")
    arguments = [str(easy_file(tmp_path)), "--label", "y", "--learners", "no-change,online", "--json"]
    done = subprocess.run([program, "compare", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    online, last = json.loads(done.stdout.splitlines()[-1])["results"]
    assert (online["learner"], online["rows"], last["learner"]) == ("online", 600, "no-change")
    assert online["accuracy"] > 0.7 > last["accuracy"]
    assert online["events_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["missing.csv", "--label", "y"], 1, "missing.csv: there is no such file"),
        (["easy.csv"], 1, "which column is to be learned? Say --label COLUMN"),
        (["easy.csv", "--label", "why"], 1, "there is no column 'why' for --label"),
        (["easy.csv", "--label", "y", "--key", "station"], 1, "there is no column 'station' for --key"),
        (["easy.csv", "--label", "y", "--learners", "autp"], 2, "there is no learner 'autp'; did you mean auto?"),
        (["easy.csv", "--label", "y", "--learners", "mean"], 2, "does not know the task, which is multiclass"),
        (["easy.csv", "--label", "y", "--delay", "0"], 2, "--delay"),
        (["easy.csv", "--label", "y", "--task", "ranking"], 2, "--task"),
        (["easy.csv", "--label", "y", "--learners", "auto", "--output", "easy.csv"], 1, "easy.csv: File exists"),
        (["easy.csv", "--label", "y", "--learners", "mlp"], 1, ""),
    ],
)
def test_wrong_input_is_told_in_one_line(
    run: Run, tmp_path: Path, arguments: list[str], status: int, told: str
) -> None:
    """A user's mistake would be a traceback, or be found out only after minutes."""
    easy_file(tmp_path)
    ended, _, err = run(*arguments)
    assert ended == status
    assert told in err
    assert "Traceback" not in err


def test_help_names_the_learners(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would know what can be compared."""
    monkeypatch.setenv("COLUMNS", "300")
    _, out, _ = run("--help")
    for name in ("auto", "mlp", "batch", "online", "majority", "no-change"):
        assert name in out
