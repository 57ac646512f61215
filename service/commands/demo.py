"""``headrace demo``: the whole service on a real stream, to look at and to ask."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(demo)


def demo(
    *,
    stream: Annotated[
        str, typer.Option(help="One of the streams that ship with River, or a file.", metavar="NAME|FILE")
    ] = "shuttle",
    label: Annotated[str | None, typer.Option(help="Column of a file to learn.", metavar="COLUMN")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End when the stream is learned, with its result.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Keep the data in this folder, which must be empty; else it is deleted in the end.", metavar="DIR"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the service, send it a real labelled stream over HTTP, and show how well it does."""
    from service.replaying.demo import DemoOrder, run_demo

    raise typer.Exit(run_demo(DemoOrder(stream, label, leave, data_dir, as_json)))
