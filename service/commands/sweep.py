"""``headrace sweep``: what each size of a microbatch costs and brings on this machine, and which one to take."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import JsonOption
from service.commands.stream_options import (
    FileArgument,
    IdOption,
    LabelOption,
    RowsOption,
    SeedOption,
    TaskName,
    TaskOption,
    TimestampOption,
    stream_order,
)
from service.settings.learner_kinds import KINDS
from service.sweeping.lists import SIZES

LearnerOption = Annotated[
    str,
    typer.Option(
        help=f"One or several, divided by commas: {', '.join(KINDS)}, and networks of your own as "
        "path/to/file.py:ClassName.",
        metavar="NAME,…",
    ),
]

SizesOption = Annotated[str, typer.Option(help="Events of a microbatch, divided by commas.", metavar="SIZE,…")]

DevicesOption = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:N, divided by commas. Without it: the CPU, and CUDA where there is one.", metavar="NAME,…"
    ),
]

FreshnessOption = Annotated[
    float,
    typer.Option(
        "--freshness-ms",
        help="Milliseconds that an event may wait, at most, for its microbatch and its update.",
        min=0.001,
        max=3_600_000,
    ),
]

RateOption = Annotated[
    float | None,
    typer.Option(help="Events that come a second; without it, the highest rate that each size sustains.", min=0.001),
]

LimitOption = Annotated[
    float | None,
    typer.Option(
        help="Seconds that each size may take on each device; what is not done by then shows as partial. Without it: "
        "90 for all together.",
        min=0.1,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(sweep)


def sweep(
    file: FileArgument,
    *,
    label: LabelOption = None,
    id_column: IdOption = None,
    timestamp: TimestampOption = None,
    task: TaskOption = TaskName.AUTO,
    learner: LearnerOption = "auto",
    sizes: SizesOption = SIZES,
    devices: DevicesOption = None,
    freshness_ms: FreshnessOption = 100.0,
    rate: RateOption = None,
    rows: RowsOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    output: Annotated[
        Path, typer.Option(help="Folder for sweep.json, sweep.html and sweep.png.", metavar="FOLDER")
    ] = Path("sweep"),
    as_json: JsonOption = False,
) -> None:
    """Learn one stream in microbatches of several sizes, show what each costs and brings, and name the best."""
    from service.sweeping.sweep import SweepOrder, run_sweep

    order = SweepOrder(
        stream=stream_order(file, label=label, id_column=id_column, timestamp=timestamp, task=task, rows=rows),
        learners=learner,
        sizes=sizes,
        devices=devices,
        freshness_ms=freshness_ms,
        rate=rate,
        limit=limit,
        seed=seed,
        output=output,
    )
    raise typer.Exit(run_sweep(order, as_json=as_json))
