"""What ``headrace sweep`` does: a file, a process for each cell, a table, the best setting, and files to keep."""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from rich.console import Console

from service.measuring.machine import load, this_machine
from service.measuring.processes import threads
from service.measuring.results import keep, make_folder, show_survey
from service.measuring.stream import StreamOrder, Survey
from service.replaying.progress import StreamProgress
from service.sweeping.cell_processes import CellProcesses
from service.sweeping.cells import Cell, CellOrder, CellStep
from service.sweeping.lists import can_use, fitting_sizes, parse_devices, parse_learners, parse_sizes
from service.sweeping.page import make_page
from service.sweeping.picture import draw_picture
from service.sweeping.result import Measured, Sweep
from service.sweeping.table import show

SECONDS = 90.0
"""What all cells may take where nobody says how long one may, so that a first look takes two minutes."""

_LIBRARIES = ("headrace", "torch", "river", "numpy")

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of its own in it; where parameters are published, too


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What is to be swept; the options of the command, which explains them."""

    stream: StreamOrder
    learners: str
    sizes: str
    devices: str | None
    freshness_ms: float
    rate: float | None
    limit: float | None
    seed: int
    output: Path


def run_sweep(order: SweepOrder, *, as_json: bool) -> int:
    """Sweep, print the result, and keep it; return the exit status: 1 where nothing could be measured.

    Raises
    ------
    ServiceError, OSError
    """
    wanted = load()  # before anything is started here
    learners, sizes, devices = parse_learners(order.learners), parse_sizes(order.sizes), parse_devices(order.devices)
    processes = CellProcesses()
    processes.prepare()
    found = show_survey(order.stream)
    fitting = fitting_sizes(sizes, found.rows)
    make_folder(order.output)
    here = processes.devices(devices)
    cells = [Cell(*each) for each in product(learners, here, fitting) if can_use(*each[:2])]
    sweep = Sweep(
        stream=order.stream.file.name,
        label=order.stream.roles.label,
        task=found.task,
        rows=found.rows,
        seed=order.seed,
        threads=threads(),
        scored_from=fitting[-1],
        freshness=order.freshness_ms / 1000,
        rate=order.rate,
        machine=this_machine(_LIBRARIES),
        load=wanted,
        devices=here,
        left_out=found.refused + Counter(unlabelled=found.unlabelled),
        larger=[size for size in sizes if size not in fitting],
        cells=_measure(order, found, cells, fitting[-1], processes),
    )
    _tell(sweep, order.output, as_json=as_json)
    return 0 if sweep.timed else 1


def _measure(
    order: SweepOrder, found: Survey, cells: Sequence[Cell], scored_from: int, processes: CellProcesses
) -> list[Measured]:
    """Measure all cells; return them in their order."""
    done: dict[Cell, Measured] = {}
    stream = replace(order.stream, task=found.task)
    with tempfile.TemporaryDirectory(
        prefix="headrace-sweep-", dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    ) as folder:
        for place, (cell, seconds) in enumerate(_shares(cells, order.limit)):
            cell_order = CellOrder(
                cell=cell,
                stream=stream,
                task=found.task,
                rows=found.rows,
                scored_from=scored_from,
                seconds=seconds,
                seed=order.seed,
                threads=threads(),
                folder=Path(folder) / str(place),
            )
            title = f"{cell.learner}, {cell.device}, {cell.size:,} events ({place + 1} of {len(cells)})"
            with StreamProgress(title) as progress:
                done[cell] = Measured(cell, processes.run(cell_order, _Showing(progress)))
    return [done[cell] for cell in cells]


def _shares(cells: Sequence[Cell], limit: float | None) -> Iterator[tuple[Cell, float]]:
    """Yield cells with the time that each may take: large sizes first, which leave time over for small ones."""
    began = time.monotonic()
    for place, cell in enumerate(sorted(cells, key=lambda cell: -cell.size)):
        left = SECONDS + began - time.monotonic()
        yield cell, limit or max(0.0, left) / (len(cells) - place)


@dataclass(frozen=True, slots=True)
class _Showing:
    """Shows how far a cell has come."""

    progress: StreamProgress

    def __call__(self, step: CellStep) -> None:
        self.progress.show(step.share, step.rows, step.rate)


def _tell(sweep: Sweep, folder: Path, *, as_json: bool) -> None:
    """Keep the result, and print it."""
    content = sweep.as_json()
    written = keep(folder, "sweep", content, make_page(sweep), lambda path: draw_picture(sweep, path))
    if as_json:
        print(json.dumps(content), flush=True)
        return
    show(sweep, Console(width=None if sys.stdout.isatty() else 120))
    print(written, flush=True)
