"""``headrace checkpoints``: look at what is kept of a model, prove that it is right, and go back to it."""

from typing import Annotated

import typer

from service.commands.options import ConfigOption, JsonOption

ModelOption = Annotated[
    str | None, typer.Option(help="Whose checkpoints; needed only where several models are configured.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Durable states of a model: list, verify, go back to one.", no_args_is_help=True)
    group.command("list")(list_checkpoints)
    group.command()(verify)
    group.command()(restore)
    app.add_typer(group, name="checkpoints")


def list_checkpoints(*, model: ModelOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the checkpoints that are kept, newest first."""
    from service.commands.checkpoint_commands import list_command
    from service.roster.roster import load_with_added

    answer = list_command(load_with_added(config), model)
    typer.echo(answer.as_json() if as_json else answer.text)


def verify(
    *,
    replay: Annotated[
        int,
        typer.Option(
            help="Make each of the last N again, out of the one before it, the journal and the log, and compare all of "
            "it bit for bit.",
            min=0,
            metavar="N",
        ),
    ] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every checkpoint in full, and say of each whether it is what was written. Changes nothing.

    May run while the model is being trained. The status is 1 where one is damaged or differs.
    """
    from service.commands.checkpoint_commands import verify_command
    from service.logs import configure_logs
    from service.roster.roster import load_with_added

    settings = load_with_added(config)
    configure_logs()
    answer = verify_command(settings, model, replay, (lambda _line: None) if as_json else typer.echo)
    typer.echo(answer.as_json() if as_json else answer.text)
    if not answer.data["ok"]:
        raise typer.Exit(1)


def restore(
    which: Annotated[str, typer.Argument(help="Of the checkpoint, its version or its name.", metavar="VERSION")],
    *,
    with_positions: Annotated[
        bool,
        typer.Option("--with-positions", help="Go back in the log too: what came after is learned again."),
    ] = False,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the parameters of a checkpoint back, under a new version. Only while no trainer owns the model.

    The place in the log stays, so that what came after the checkpoint is forgotten, and what comes next is learned.
    While a trainer runs, `headrace rollback` does the same.
    """
    from service.commands.checkpoint_commands import restore_command
    from service.logs import configure_logs
    from service.roster.roster import load_with_added

    settings = load_with_added(config)
    configure_logs()
    answer = restore_command(settings, model, which, with_positions=with_positions)
    typer.echo(answer.as_json() if as_json else answer.text)
