"""``headrace sweep``: what it prints, what it leaves behind, and what it says of wrong input."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from service.config import load_settings
from service.errors import ConfigurationInvalid
from service.sweeping import sweep
from service.sweeping.cells import CellOrder, CellOutcome, CellStep
from tests.support.commands import run_headrace
from tests.support.comparing import easy_file
from tests.support.sweeping import cell_outcome


class FakeProcesses:
    """Gives outcomes without measuring anything; keeps what it was asked."""

    orders: ClassVar[list[CellOrder]] = []

    def __init__(self) -> None:
        type(self).orders = []

    def prepare(self) -> None:
        """Do nothing."""

    def devices(self, names: Sequence[str] | None) -> dict[str, str]:
        if names is not None and "cuda" in names:
            raise ConfigurationInvalid("--devices cuda: device: 'cuda' is not there (0 CUDA devices); use auto")
        return dict.fromkeys(names or ["cpu"], "CPU")

    def run(self, order: CellOrder, notice: Callable[[CellStep], None]) -> CellOutcome:
        self.orders.append(order)
        notice(CellStep(0.5, 10, 5.0))
        if order.cell.learner == "mlp":
            return CellOutcome(error="it is broken")
        size = order.cell.size
        return cell_outcome(size, 0.001 * size**0.5, 0.95 - size / 1000)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs ``headrace sweep ARGUMENTS`` with fake cells, in an empty folder."""
    monkeypatch.setattr(sweep, "CellProcesses", FakeProcesses)
    monkeypatch.chdir(tmp_path)

    return partial(run_headrace, monkeypatch, capsys, "sweep")


Run = Callable[..., tuple[int, str, str]]


def test_a_table_the_best_setting_and_files_come_out(run: Run, tmp_path: Path) -> None:
    """A person would see no result, or would not know what to configure."""
    status, out, err = run(str(easy_file(tmp_path)), "--label", "y", "--sizes", "1,16,256", "--learner", "auto,mlp")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[2] for row in rows if row[:2] == ["auto", "cpu"]] == ["1", "16", "256"]
    assert [row[3] for row in rows if row[:2] == ["mlp", "cpu"]] == ["failed"] * 3
    assert "Best for 100 ms: auto in microbatches of 256: " in out
    assert "mlp in microbatches of 16 could not be measured: it is broken" in out
    assert "sweep: sweep.json, sweep.html, sweep.png" in out
    assert "auto, cpu, 256 events (1 of 6)" in err
    kept = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert kept["best"] == {"learner": "auto", "device": "cpu", "size": 256, "verdict": "met"}
    assert "<svg" in (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")
    pasted = tmp_path / "headrace.yaml"
    pasted.write_text(out[out.index("models:") : out.index("sweep: sweep.json")])
    assert load_settings(pasted, {}).models["default"].microbatch.max_size == 256


def test_a_program_reads_the_last_line(run: Run, tmp_path: Path) -> None:
    """A program could not use the result."""
    arguments = ("--label", "y", "--sizes", "4,1", "--rate", "700", "--freshness-ms", "20", "--seed", "7", "--json")
    status, out, _ = run(str(easy_file(tmp_path)), *arguments, "--output", "kept/here", "--rows", "500")
    found = json.loads(out.splitlines()[-1])
    assert (status, found["rows"], found["rate"], found["freshness_ms"]) == (0, 500, 700, 20)
    assert [cell["size"] for cell in found["cells"]] == [1, 4]
    assert json.loads((tmp_path / "kept" / "here" / "sweep.json").read_text()) == found
    assert {order.seed for order in FakeProcesses.orders} == {7}


def test_a_first_look_is_bounded_and_small_sizes_have_the_time_that_large_ones_left(run: Run, tmp_path: Path) -> None:
    """The usual sweep would take an hour on a slow machine, or stop the slowest sizes after a few rows."""
    assert run(str(easy_file(tmp_path)), "--label", "y")[0] == 0
    orders = FakeProcesses.orders
    assert [order.cell.size for order in orders] == [256, 64, 16, 1]  # 600 rows: larger ones do not fit
    seconds = [order.seconds for order in orders]
    assert seconds[0] <= sweep.SECONDS / 4
    assert sweep.SECONDS - 5 <= seconds[-1] <= sweep.SECONDS <= 100
    assert {order.scored_from for order in orders} == {256}
    assert len({order.folder for order in orders}) == 4
    assert not any(order.folder.parent.exists() for order in orders)
    assert run(str(easy_file(tmp_path)), "--label", "y", "--limit", "7")[0] == 0
    assert {order.seconds for order in FakeProcesses.orders} == {7.0}


def test_nothing_that_could_be_measured_is_a_failure(run: Run, tmp_path: Path) -> None:
    """A script would go on with no result."""
    status, out, _ = run(str(easy_file(tmp_path)), "--label", "y", "--sizes", "64", "--learner", "mlp")
    assert status == 1
    assert "Nothing could be measured." in out
    assert "There is nothing to draw." in (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")


def test_without_matplotlib_the_rest_comes_out(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed would cost the whole result, or nobody would know what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = run(str(easy_file(tmp_path)), "--label", "y", "--sizes", "64")
    assert status == 0
    assert "for a picture (sweep.png), install matplotlib: headrace[plot]" in err
    assert "sweep: sweep.json, sweep.html\n" in out


def test_the_real_command_measures_real_learners(tmp_path: Path) -> None:
    """The command as it is installed would not find its own cells' processes, or would measure nothing."""
    program = Path(sys.executable).with_name("headrace")
    arguments = [str(easy_file(tmp_path)), "--label", "y", "--learner", "linear", "--devices", "cpu", "--json"]
    more = ["--sizes", "64,128,1024", "--limit", "2"]
    done = subprocess.run(
        [program, "sweep", *arguments, *more], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [cell["size"] for cell in found["cells"]] == [64, 128]
    assert found["sizes_left_out"] == [1024]
    for cell in found["cells"]:
        assert cell["events_per_second"] > 0
        assert 0 < cell["update_ms"]["median"] <= cell["update_ms"]["p99"]
        assert cell["updates"] >= 1
        assert cell["partial"] or (cell["accuracy"] > 0.7 and cell["scored"] > 400)
    assert found["best"]["size"] in (64, 128)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["missing.csv", "--label", "y"], 1, "missing.csv: there is no such file"),
        (["empty.csv", "--label", "y"], 1, "empty.csv: is empty; its first line must name the columns"),
        (["header.csv", "--label", "y"], 1, "header.csv: has no row with a label that could be learned; it is empty"),
        (["easy.csv"], 1, "which column is to be learned? Say --label COLUMN"),
        (["easy.csv", "--label", "why"], 1, "there is no column 'why' for --label"),
        (["easy.csv", "--label", "y", "--learner", "autp"], 2, "there is no learner 'autp'; did you mean auto?"),
        (["easy.csv", "--label", "y", "--sizes", "big"], 2, "'big' is no size of a microbatch"),
        (["easy.csv", "--label", "y", "--sizes", "4096"], 2, "the file has 600 usable rows"),
        (["easy.csv", "--label", "y", "--devices", "gpu"], 2, "there is no device 'gpu'; write cpu, cuda"),
        (["easy.csv", "--label", "y", "--devices", "cuda"], 2, "--devices cuda: device: 'cuda' is not there"),
        (["easy.csv", "--label", "y", "--freshness-ms", "0"], 2, "--freshness-ms"),
        (["easy.csv", "--label", "y", "--rate", "-1"], 2, "--rate"),
        (["easy.csv", "--label", "y", "--task", "ranking"], 2, "--task"),
        (["easy.csv", "--label", "y", "--output", "easy.csv"], 1, "easy.csv: File exists"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    run: Run, tmp_path: Path, arguments: list[str], status: int, told: str
) -> None:
    """A user's mistake would be a traceback, or be found out only after minutes."""
    easy_file(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b,y\n")
    ended, _, err = run(*arguments)
    assert ended == status
    assert told in err
    assert "Traceback" not in err
