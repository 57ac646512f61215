"""``headrace models``: lists the models that there are; adds and removes some, whether the service runs or not."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.options import ConfigOption, JsonOption

_NameArgument = Annotated[str, typer.Argument(help="Of the model.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(
        help="Models that are added beside those of the configuration, as PUT and DELETE /v1/models/NAME do it.",
        no_args_is_help=True,
    )
    group.command(name="list")(list_)
    group.command()(add)
    group.command()(remove)
    app.add_typer(group, name="models")


def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the models: where each is declared, and its topic."""
    from service.config import load_settings
    from service.roster.roster import Roster

    roster = Roster(load_settings(config))
    settings = roster.now()
    found: list[dict[str, Any]] = [
        {"model": name, "declared_in": "api" if name in settings.added else "file", "topic": own.topic}
        for name, own in settings.models.items()
    ]
    unusable = [{"model": name, "problem": problem} for name, problem in roster.problems.items()]
    if as_json:
        typer.echo(json.dumps({"models": found, "unusable": unusable}))
        return
    for each in found:
        typer.echo(f"{each['model']}  {each['declared_in']}  {each['topic']}")
    for each in unusable:
        typer.echo(f"{each['model']} cannot be used: {each['problem']}", err=True)


def add(
    name: _NameArgument,
    *,
    file: Annotated[
        Path,
        typer.Option("--settings", help="YAML or JSON: what models.NAME in the configuration takes.", metavar="FILE"),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a model, or change the settings of one that was added."""
    from service.config import load_settings
    from service.logs import configure_logs
    from service.roster.changing import Changes
    from service.roster.conditions import Conditions
    from service.roster.roster import Roster
    from service.settings.yaml_text import read_file

    configure_logs()
    done = Changes(Roster(load_settings(config))).put(name, read_file(file), Conditions())
    if as_json:
        typer.echo(json.dumps({"model": name, "created": done.created, "revision": done.revision}))
        return
    typer.echo(f"{name} {'was added' if done.created else 'has these settings now'}", err=True)


def remove(
    name: _NameArgument,
    *,
    keep: Annotated[bool, typer.Option(help="Whether what it has learned is moved aside, or deleted.")] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a model that was added; its trainer ends."""
    from service.config import load_settings
    from service.logs import configure_logs
    from service.roster.changing import Changes
    from service.roster.conditions import Conditions
    from service.roster.roster import Roster

    configure_logs()
    cleared = Changes(Roster(load_settings(config))).remove(name, Conditions(), keep=keep)
    if as_json:
        typer.echo(json.dumps({"model": name, "cleared": cleared}))
        return
    typer.echo(
        f"{name} is gone" if cleared else f"{name} is served no more; the rest follows its trainer's end", err=True
    )
