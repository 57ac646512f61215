"""``headrace compare``: several learners on one labelled file, each tested at the same label delay."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import JsonOption
from service.comparing.learner_names import DEFAULT, NAMES


class TaskName(StrEnum):
    """What is predicted."""

    AUTO = "auto"
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


LearnersOption = Annotated[
    str | None,
    typer.Option(
        help=f"Names, divided by commas: {NAMES}, and networks of your own as path/to/file.py:ClassName. NAME@SIZE "
        f"learns in microbatches of SIZE rows, NAME alone in those of the delay. Without it: {', '.join(DEFAULT)}.",
        metavar="NAME[@SIZE],…",
    ),
]

SecondsOption = Annotated[
    float | None,
    typer.Option(
        help="Time for all learners together; what is not done by then shows as partial. 0 for no "
        "bound. Without it: 90 where --learners is not given, no bound where it is.",
        min=0,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(compare)


def compare(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON (both also .gz) or Parquet.", metavar="FILE")],
    *,
    label: Annotated[
        str | None,
        typer.Option(help="Column to predict; not for NDJSON of events in Headrace's own format.", metavar="COLUMN"),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="Column of the event's id, which is no feature.", metavar="COLUMN")
    ] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event's time.", metavar="COLUMN")] = None,
    task: Annotated[TaskName, typer.Option(help="What is predicted; auto reads it off the labels.")] = TaskName.AUTO,
    learners: LearnersOption = None,
    delay: Annotated[
        int,
        typer.Option(help="Rows that are predicted before the first of their labels is known.", min=1, max=1_000_000),
    ] = 64,
    rows: Annotated[int | None, typer.Option(help="Only so many rows from the start.", min=1)] = None,
    seconds: SecondsOption = None,
    seed: Annotated[int, typer.Option(help="Of the learners' initial values.", min=0, max=2**63 - 1)] = 0,
    output: Annotated[
        Path, typer.Option(help="Folder for comparison.json, comparison.html and comparison.png.", metavar="FOLDER")
    ] = Path("comparison"),
    as_json: JsonOption = False,
) -> None:
    """Put one stream through several learners at the same label delay, and show which predicts best, and how fast."""
    from models.examples import Task
    from service.comparing.compare import CompareOrder, run_compare
    from service.comparing.stream import StreamOrder
    from service.replaying.replay_events import Roles

    known = None if task is TaskName.AUTO else Task(task.value)
    stream = StreamOrder(file, Roles(label, id_column, timestamp), known, rows)
    raise typer.Exit(run_compare(CompareOrder(stream, learners, delay, seconds, seed, output), as_json=as_json))
