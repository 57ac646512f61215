"""Arguments and options of the commands that measure on a labelled file."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.measuring.stream import StreamOrder


class TaskName(StrEnum):
    """What is predicted."""

    AUTO = "auto"
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


FileArgument = Annotated[Path, typer.Argument(help="CSV, NDJSON (both also .gz) or Parquet.", metavar="FILE")]

LabelOption = Annotated[
    str | None,
    typer.Option(help="Column to predict; not for NDJSON of events in Headrace's own format.", metavar="COLUMN"),
]

IdOption = Annotated[
    str | None, typer.Option("--id", help="Column of the event's id, which is no feature.", metavar="COLUMN")
]

TimestampOption = Annotated[str | None, typer.Option(help="Column of the event's time.", metavar="COLUMN")]

TaskOption = Annotated[TaskName, typer.Option(help="What is predicted; auto reads it off the labels.")]

RowsOption = Annotated[int | None, typer.Option(help="Only so many rows from the start.", min=1)]

SeedOption = Annotated[int, typer.Option(help="Of the learners' initial values.", min=0, max=2**63 - 1)]


def stream_order(
    file: Path,
    *,
    label: str | None,
    id_column: str | None,
    timestamp: str | None,
    task: TaskName,
    rows: int | None,
    key: str | None = None,
) -> "StreamOrder":
    """Return which rows such options ask for."""
    from models.examples import Task
    from service.measuring.stream import StreamOrder
    from service.replaying.replay_events import Roles

    known = None if task is TaskName.AUTO else Task(task.value)
    return StreamOrder(file, Roles(label, id_column, timestamp, key), known, rows)
