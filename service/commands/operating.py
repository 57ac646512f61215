"""``headrace pause``, ``resume`` and ``rollback``: what the API's calls of these names do, on the machine itself."""

from typing import Annotated, Literal

import typer

from service.commands.options import ConfigOption, JsonOption

ModelOption = Annotated[str | None, typer.Option(help="Which model; needed only where several models are configured.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(pause)
    app.command()(resume)
    app.command()(rollback)


def pause(*, model: ModelOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Stop learning at the end of a microbatch, until `headrace resume`. Predictions go on, also after restarts."""
    from service.commands.operating_commands import pause_command
    from service.config import load_settings
    from service.operating.operated import PAUSE

    answer = pause_command(load_settings(config), model, PAUSE)
    typer.echo(answer.as_json() if as_json else answer.text)


def resume(*, model: ModelOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Have learning go on where it was paused."""
    from service.commands.operating_commands import pause_command
    from service.config import load_settings
    from service.operating.operated import RESUME

    answer = pause_command(load_settings(config), model, RESUME)
    typer.echo(answer.as_json() if as_json else answer.text)


def rollback(
    which: Annotated[str, typer.Argument(help="Of the checkpoint, its version or its name.", metavar="VERSION")],
    *,
    then: Annotated[
        Literal["learn", "pause"] | None,
        typer.Option(help="Whether learning goes on from there, or pauses; without it, as it was."),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the trainer bring the parameters of a checkpoint back, under a new version, while it serves and learns.

    The place in the log stays. Without a trainer the command waits for one; `headrace checkpoints restore` does not.
    """
    from service.commands.operating_commands import rollback_command
    from service.config import load_settings

    answer = rollback_command(load_settings(config), model, which, then)
    typer.echo(answer.as_json() if as_json else answer.text)
