"""``headrace compare``: several learners on one labelled file, each tested at the same label delay."""

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
from service.comparing.learner_names import DEFAULT, NAMES

LearnersOption = Annotated[
    str | None,
    typer.Option(
        help=f"Names, divided by commas: {NAMES}, and networks of your own as path/to/file.py:ClassName. NAME@SIZE "
        f"learns in microbatches of SIZE rows, NAME alone in those of the delay. Without it: {', '.join(DEFAULT)}.",
        metavar="NAME[@SIZE],…",
    ),
]

KeyOption = Annotated[
    str | None,
    typer.Option(
        help="Column for whose values there are to be small models: each learner that can have them is tested with "
        "them too, as NAME+COLUMN.",
        metavar="COLUMN",
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
    file: FileArgument,
    *,
    label: LabelOption = None,
    id_column: IdOption = None,
    timestamp: TimestampOption = None,
    task: TaskOption = TaskName.AUTO,
    learners: LearnersOption = None,
    delay: Annotated[
        int,
        typer.Option(help="Rows that are predicted before the first of their labels is known.", min=1, max=1_000_000),
    ] = 64,
    rows: RowsOption = None,
    key: KeyOption = None,
    seconds: SecondsOption = None,
    seed: SeedOption = 0,
    output: Annotated[
        Path, typer.Option(help="Folder for comparison.json, comparison.html and comparison.png.", metavar="FOLDER")
    ] = Path("comparison"),
    as_json: JsonOption = False,
) -> None:
    """Put one stream through several learners at the same label delay, and show which predicts best, and how fast."""
    from service.comparing.compare import CompareOrder, run_compare

    stream = stream_order(file, label=label, id_column=id_column, timestamp=timestamp, task=task, rows=rows, key=key)
    raise typer.Exit(run_compare(CompareOrder(stream, learners, delay, seconds, seed, output), as_json=as_json))
