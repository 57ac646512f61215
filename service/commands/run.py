"""``headrace up``, ``train`` and ``serve``: the service, whole or by halves, until Ctrl-C or SIGTERM."""

from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import ConfigOption

if TYPE_CHECKING:
    from service.config import Settings


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(train)
    app.command()(serve)
    app.command(hidden=True)(spare)


def up(config: ConfigOption = None) -> None:
    """Run everything: a trainer for each model, and the server, started again when they die."""
    settings = _prepare(config)
    from service.supervision.supervisor import run_supervisor  # noqa: PLC0415

    raise typer.Exit(run_supervisor(settings, config))


def train(
    config: ConfigOption = None,
    model: Annotated[
        str | None, typer.Option(help="Which model to train; needed only where several are configured.")
    ] = None,
    origin: Annotated[
        str,
        typer.Option(
            "--from",
            help="checkpoint goes on where it was. Anything else has the model begin anew, what it was is kept aside: "
            "earliest, offsets such as 0:1200,1:900, or a time (ISO 8601, or seconds since the epoch).",
            metavar="checkpoint|earliest|OFFSETS|TIME",
        ),
    ] = "checkpoint",
    leave: Annotated[
        bool, typer.Option("--exit", help="Only have the model begin anew (--from), and end without training.")
    ] = False,
) -> None:
    """Learn from the stream. A second one on the same data stands by, and takes over when the first one fails."""
    settings = _prepare(config)
    from service.commands.command_answers import model_of  # noqa: PLC0415
    from service.learning.trainer_process import run_trainer  # noqa: PLC0415
    from service.restart.starting_over import start_over  # noqa: PLC0415

    name = model_of(settings, model)
    if origin != "checkpoint":
        kept = start_over(settings, name, origin)
        typer.echo(f"{name} begins anew, from {origin}; what it was is in {kept}", err=True)
    if not leave:
        raise typer.Exit(run_trainer(settings, name))


def spare(config: ConfigOption = None) -> None:
    """Import everything and wait for a model's name on stdin, then train it: what ``up`` keeps in reserve."""
    settings = _prepare(config)
    from service.learning.trainer_process import run_spare  # noqa: PLC0415

    raise typer.Exit(run_spare(settings))


def serve(config: ConfigOption = None) -> None:
    """Answer predictions, take events, and tell how learning goes, over HTTP."""
    settings = _prepare(config)
    from service.rest.serving import run_server  # noqa: PLC0415

    raise typer.Exit(run_server(settings))


def _prepare(config: ConfigOption) -> "Settings":
    """Load the settings, and set up logs: these commands talk to operators."""
    from service.config import load_settings, wants_traceback  # noqa: PLC0415
    from service.durability.ownership import make_private  # noqa: PLC0415
    from service.logs import configure_logs  # noqa: PLC0415

    settings = load_settings(config)
    configure_logs(verbose=wants_traceback())
    make_private(settings.resolved_publish_dir())
    return settings
