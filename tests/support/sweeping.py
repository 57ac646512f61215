"""Sweeps made by hand."""

from collections.abc import Sequence

from models.examples import Task
from service.measuring.machine import Machine
from service.sweeping.cells import Cell, CellOutcome, ScoredUntil, Timing
from service.sweeping.result import Measured, Sweep

ROWS = 1000

MACHINE = Machine("A processor", 2, 8.0, "Linux x86_64", "3.11.1", {"headrace": "0.1.0", "torch": "2.9.0"})


def cell_outcome(
    size: int, seconds: float, accuracy: float = 0.8, *, rows: int = ROWS, early: float = 0.5
) -> CellOutcome:
    """Return an outcome whose updates took so many seconds each; of `rows`, 500 are early ones."""
    rate = size / seconds
    timing = Timing(120, seconds, 0.9 * seconds, 1.5 * seconds, (0.9 * rate, rate, rate, rate, 1.1 * rate))
    first = {"accuracy": early, "scored": 500 - size, "mae": 9.0} if rows > 500 else {}
    scored = rows - size
    total = early * first.get("scored", 0) + accuracy * (scored - first.get("scored", 0))
    late = {"accuracy": total / scored, "scored": float(scored), "mae": 2.0}
    started = ScoredUntil(500, first) if first else ScoredUntil()
    return CellOutcome(timing, rows, started, ScoredUntil(rows, late), (), 5 * 2**20, 400 * 2**20)


def sweep(
    cells: Sequence[Measured],
    freshness: float = 0.1,
    rate: float | None = None,
    stream: str = "a stream.csv",
    rows: int = ROWS,
) -> Sweep:
    """Return a sweep of these cells."""
    return Sweep(
        stream=stream,
        label="y",
        task=Task.BINARY,
        rows=rows,
        seed=0,
        threads=1,
        scored_from=500,
        freshness=freshness,
        rate=rate,
        machine=MACHINE,
        load=0.1,
        devices={each.cell.device: each.cell.device.upper() for each in cells} or {"cpu": "CPU"},
        left_out={},
        larger=[],
        cells=cells,
    )


def usual(device: str = "cpu", learner: str = "auto") -> list[Measured]:
    """Return cells of four sizes: the larger, the quicker, the later and the worse."""
    updates = {1: (0.002, 0.95), 16: (0.004, 0.9), 64: (0.01, 0.8), 256: (0.03, 0.7)}
    return [
        Measured(Cell(learner, device, size), cell_outcome(size, seconds, accuracy))
        for size, (seconds, accuracy) in updates.items()
    ]
