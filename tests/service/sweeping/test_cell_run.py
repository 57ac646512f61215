"""One cell: what is timed, what is scored, and when it ends; and the processes in which that is done."""

from pathlib import Path

import pytest

from models.examples import Task
from models.learner import LearnerOptions
from models.registry import create_learner
from service.errors import ConfigurationInvalid
from service.measuring.stream import StreamOrder, blocks
from service.publishing.publication_layout import files_newest_first
from service.replaying.replay_events import Roles
from service.sweeping import cell_run
from service.sweeping.cell_processes import CellProcesses
from service.sweeping.cell_run import run_cell
from service.sweeping.cells import Cell, CellOrder, CellStep
from tests.support.comparing import easy_file


def make_order(folder: Path, size: int = 64, kind: str = "linear", seconds: float = 60) -> CellOrder:
    """Return an order of a cell on the file that is easy to learn; its largest neighbour is of 128."""
    stream = StreamOrder(easy_file(folder), Roles("y"), Task.MULTICLASS)
    return CellOrder(Cell(kind, "cpu", size), stream, Task.MULTICLASS, 600, 128, seconds, 0, 1, folder / "published")


def test_full_microbatches_are_timed_once_it_is_warm_and_until_it_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times would be those of the first calls, or of the few rows at the file's end, or of three updates."""
    monkeypatch.setattr(cell_run, "WARMING_ROWS", 192)
    monkeypatch.setattr(cell_run, "ENOUGH_SECONDS", 0.0)
    steps: list[CellStep] = []
    outcome = run_cell(make_order(tmp_path), steps.append)
    # 600 rows are nine microbatches and a rest. The first three warm it: six count, and four of the second pass.
    assert outcome.timing is not None
    assert outcome.timing.updates == 10
    assert outcome.rows == 600
    assert all(0 < step.share <= 1 and step.rate > 0 for step in steps)
    monkeypatch.setattr(cell_run, "ENOUGH_UPDATES", 10_000)
    monkeypatch.setattr(cell_run, "MOST_PASSES", 3)
    twice = run_cell(make_order(tmp_path), steps.append)
    assert twice.timing is not None
    assert twice.timing.updates == 6 + 9 + 9


def test_scores_are_those_that_the_learner_keeps_on_the_first_way_through(tmp_path: Path) -> None:
    """The score would be that of rows learned before, or of another delay than the size."""
    order = make_order(tmp_path)
    outcome = run_cell(order, lambda _: None)
    learner = create_learner(LearnerOptions(kind="linear", device="cpu"), Task.MULTICLASS)
    for block in blocks(order.stream, 64):
        learner.learn(block)
        if learner.status().scores["stream"]["count"] == 128:
            assert outcome.early.scores == learner.status().scores["stream"]
    assert outcome.late.scores == learner.status().scores["stream"]
    assert (outcome.early.rows, outcome.late.rows) == (128, 600)
    assert [point.rows for point in outcome.curve] == [64, 128, 256, 512]
    assert outcome.curve[1] == outcome.early
    assert outcome.peak_bytes is None or outcome.peak_bytes > (outcome.memory_bytes or 0) >= 0


def test_parameters_are_published_as_in_the_service(tmp_path: Path) -> None:
    """The update time would lack what a server waits for."""
    order = make_order(tmp_path)
    run_cell(order, lambda _: None)
    assert len(files_newest_first(order.folder)) >= 1


def test_a_cell_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """A slow learner would keep everybody waiting, or its score would be told as that of the whole file."""
    outcome = run_cell(make_order(tmp_path, seconds=1e-9), lambda _: None)
    assert (outcome.rows, outcome.timing) == (64, None)


def test_cells_have_processes_of_their_own_and_devices_are_looked_for_in_one(tmp_path: Path) -> None:
    """A device that is not there would be found out after minutes, or a learner that fails would end the sweep."""
    processes = CellProcesses()
    processes.prepare()
    processes.wait()
    assert processes.devices(["cpu"]) == {"cpu": "CPU"}
    assert next(iter(processes.devices(None))) == "cpu"
    with pytest.raises(ConfigurationInvalid, match=r"--devices cpu,cuda:99: device: 'cuda:99' is not there"):
        processes.devices(["cpu", "cuda:99"])
    missing = processes.run(make_order(tmp_path, kind=f"{tmp_path}/missing.py:Net"), lambda _: None)
    assert "missing" in missing.error
    fine = processes.run(make_order(tmp_path, seconds=2), lambda _: None)
    assert (fine.error, fine.rows > 0) == ("", True)
