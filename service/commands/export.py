"""``headrace export``: one version of a model as a file."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(export)


def export(
    *,
    to: Annotated[Path, typer.Option(help="The file; .safetensors says what it is.", metavar="FILE", dir_okay=False)],
    version: Annotated[
        str | None, typer.Option(help="Of the checkpoint, its version or its name; without it the newest.")
    ] = None,
    with_state: Annotated[
        bool, typer.Option("--with-state", help="All that the learner is, too: `warm_start` can go on from it.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Which model; needed only where several models are configured.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one version of a model into a file that other programs can answer with (docs/export.md).

    May run while the model is being trained.
    """
    from service.commands.export_command import export_command
    from service.config import load_settings
    from service.logs import configure_logs

    settings = load_settings(config)
    configure_logs()
    answer = export_command(settings, model, version, to, with_state=with_state)
    typer.echo(answer.as_json() if as_json else answer.text)
