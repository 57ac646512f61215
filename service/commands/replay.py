"""``headrace replay``: a labelled file as a stream of events, to a server or to a Kafka topic."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import ApiKeyFileOption, ConfigOption, JsonOption


class Form(StrEnum):
    """How events are written down."""

    JSON = "json"
    NDJSON = "ndjson"
    ARROW = "arrow"
    AVRO = "avro"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON (both also .gz) or Parquet.", metavar="FILE")],
    *,
    label: Annotated[
        str | None,
        typer.Option(help="Column to learn; not for NDJSON of events in Headrace's own format.", metavar="COLUMN"),
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the event's id.", metavar="COLUMN")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event's time.", metavar="COLUMN")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Events per second; without it as fast as possible.", min=0.01)
    ] = None,
    to: Annotated[
        str, typer.Option(help="Address of a server, or kafka.", metavar="URL|kafka")
    ] = "http://127.0.0.1:8000",
    topic: Annotated[str | None, typer.Option(help="Kafka topic; without it the model's.")] = None,
    model: Annotated[str, typer.Option(help="Which model's events they are.")] = "default",
    limit: Annotated[int | None, typer.Option(help="Send only so many rows.", min=1)] = None,
    batch: Annotated[int, typer.Option(help="Events sent at once, at most.", min=1, max=100_000)] = 500,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format",
            "--as",
            help="How events are written down; usually ndjson for a server, json for Kafka. avro is for Kafka, and "
            "registers its schema with schema_registry.url.",
        ),
    ] = None,
    events_per_message: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Events in one Kafka message; without it 1 for json and avro, and as many as --batch for others.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="End only when the events are learned.")] = False,
    api_key_file: ApiKeyFileOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the rows of a file as events, in its order, and show how well they are predicted before they are learned."""
    from service.replaying.replay_command import ReplayOrder, run_replay
    from service.replaying.replay_events import Roles

    order = ReplayOrder(
        file=file,
        roles=Roles(label, id_column, timestamp),
        to=to,
        topic=topic,
        model=model,
        rate=rate,
        limit=limit,
        batch=batch,
        form=None if form is None else form.value,
        per_message=events_per_message,
        wait=wait,
        config=config,
        api_key_file=api_key_file,
    )
    raise typer.Exit(run_replay(order, as_json=as_json))
