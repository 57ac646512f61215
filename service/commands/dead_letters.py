"""``headrace dead-letters``: look at what could not be used, send it again, and end the pause that it caused."""

from enum import StrEnum
from typing import Annotated

import typer

from service.commands.options import ConfigOption, JsonOption


class State(StrEnum):
    """What became of a letter."""

    NEW = "new"
    UNKNOWN = "unknown"
    REDRIVEN = "redriven"


ModelOption = Annotated[
    str | None, typer.Option(help="Whose dead letters; needed only where several models are configured.")
]
ReasonOption = Annotated[str | None, typer.Option(help="Only those with this reason, such as label.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Events that could not be used: look at them, send them again.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command()(show)
    group.command()(redrive)
    group.command()(resume)
    app.add_typer(group, name="dead-letters")


def list_letters(
    *,
    model: ModelOption = None,
    reason: ReasonOption = None,
    state: Annotated[
        State | None,
        typer.Option(help="Only new ones, those sent again (redriven), or those that may have been (unknown)."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Show so many, the newest first.", min=1)] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest dead letters: their number, their place in the log, when and why they were refused."""
    from service.commands.dead_letter_commands import list_command
    from service.roster.roster import load_with_added

    answer = list_command(load_with_added(config), model, reason, None if state is None else state.value, limit)
    typer.echo(answer.as_json() if as_json else answer.text)


def show(
    letter: Annotated[
        str,
        typer.Argument(help="Its number in the list, or its place: topic/partition/offset/index.", metavar="LETTER"),
    ],
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter whole: what was wrong, and key, headers and bytes as they came."""
    from service.commands.dead_letter_commands import show_command
    from service.roster.roster import load_with_added

    answer = show_command(load_with_added(config), model, letter)
    typer.echo(answer.as_json() if as_json else answer.text)


def redrive(
    *,
    model: ModelOption = None,
    reason: ReasonOption = None,
    letters: Annotated[
        list[int] | None, typer.Option("--letter", help="Only this one; may be given several times.", metavar="NUMBER")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Send at most so many, the oldest first.", min=1)] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Those too that may have been sent already: they may then be learned twice."),
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters to their topic again, as they came and once each, after what was wrong has been put right."""
    from service.commands.dead_letter_redriving import redrive_command
    from service.roster.roster import load_with_added

    answer = redrive_command(load_with_added(config), model, reason, letters, limit, again=again)
    typer.echo(answer.as_json() if as_json else answer.text)


def resume(model: ModelOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Have learning go on that paused because too many events could not be used. What comes next is counted afresh."""
    from service.commands.dead_letter_commands import resume_command
    from service.roster.roster import load_with_added

    answer = resume_command(load_with_added(config), model)
    typer.echo(answer.as_json() if as_json else answer.text)
