"""``headrace up``, ``train`` and ``serve``: the service, whole or by halves, until Ctrl-C or SIGTERM."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import ConfigOption
from service.settings.learner_kinds import EPOCHS

if TYPE_CHECKING:
    from service.config import Settings


WarmStartOption = Annotated[
    Path | None,
    typer.Option(
        help="Begin with what another model has learned: its folder (its newest good checkpoint), or one "
        "manifest-….json in it. Like the setting warm_start, of no meaning once this one has learned something.",
        metavar="PATH",
    ),
]

HistoryOption = Annotated[
    Path | None,
    typer.Option(
        help="Learn a file of the past first: CSV, NDJSON (both also .gz) or Parquet. Of no meaning once the model "
        "has learned something; with --from earliest it begins anew.",
        metavar="FILE",
    ),
]

LabelOption = Annotated[
    str | None,
    typer.Option(
        help="With --history: column to learn; not where its rows are events as the topic has them.", metavar="COLUMN"
    ),
]

IdOption = Annotated[
    str | None, typer.Option("--id", help="With --history: column that is no feature, but an id.", metavar="COLUMN")
]

TimestampOption = Annotated[
    str | None, typer.Option(help="With --history: column of the event's time.", metavar="COLUMN")
]

EpochsOption = Annotated[
    int | None,
    typer.Option(
        help=f"With --history: how often networks go through the rows, at most ({EPOCHS}); all else does once.",
        min=1,
        max=1000,
    ),
]

LeaveOption = Annotated[
    bool,
    typer.Option("--exit", help="End without training, once the model has begun (--from, --warm-start, --history)."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(train)
    app.command()(serve)
    app.command(hidden=True)(spare)
    app.command(hidden=True)(trainers)


def up(config: ConfigOption = None) -> None:
    """Run everything: a trainer for each model, and the server, started again when they die."""
    settings = _prepare(config)
    from service.supervision.supervisor import make_supervisor, run_supervisor

    address = settings.serve.address()
    raise typer.Exit(run_supervisor(make_supervisor(settings, config), address=address))


def train(
    *,
    config: ConfigOption = None,
    model: Annotated[
        str | None, typer.Option(help="Which model to train; without it all of them, those that are added included.")
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
    warm_start: WarmStartOption = None,
    history: HistoryOption = None,
    label: LabelOption = None,
    id_column: IdOption = None,
    timestamp: TimestampOption = None,
    epochs: EpochsOption = None,
    leave: LeaveOption = False,
) -> None:
    """Learn from the stream. A second one on the same data stands by, and takes over when the first one fails."""
    settings = _prepare(config)
    from service.commands.train import Beginning, train_command
    from service.replaying.replay_events import Roles

    beginning = Beginning(origin, warm_start, history, Roles(label, id_column, timestamp), epochs)
    raise typer.Exit(train_command(settings, model, beginning, config, leave=leave))


def spare(config: ConfigOption = None) -> None:
    """Import everything and wait for a model's name on stdin, then train it: what ``up`` keeps in reserve."""
    settings = _prepare(config)
    from service.learning.trainer_process import run_spare

    raise typer.Exit(run_spare(settings))


def trainers(config: ConfigOption = None) -> None:
    """Train the models that are added while it runs, until stdin ends: what ``train`` without ``--model`` starts."""
    settings = _prepare(config)
    from service.supervision.companion import run_companion

    raise typer.Exit(run_companion(settings, config))


def serve(config: ConfigOption = None) -> None:
    """Answer predictions, take events, and tell how learning goes, over HTTP."""
    settings = _prepare(config)
    from service.rest.serving import run_server

    raise typer.Exit(run_server(settings))


def _prepare(config: ConfigOption) -> "Settings":
    """Load the settings, and set up logs: these commands talk to operators."""
    from service.config import wants_traceback
    from service.durability.ownership import make_private
    from service.logs import configure_logs
    from service.roster.roster import load_with_added

    settings = load_with_added(config)
    configure_logs(verbose=wants_traceback())
    make_private(settings.resolved_publish_dir())
    return settings
