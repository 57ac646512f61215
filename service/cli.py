"""The command ``headrace``: what it takes, and how its errors look. The commands themselves are in ``commands/``.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once; and nothing at all of `consumers`
and `models` before the guard has seen that they are ours.
"""

import logging
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from service.commands import (
    checkpoints,
    compare,
    config,
    dead_letters,
    demo,
    export,
    keys,
    models,
    operating,
    replay,
    run,
    sweep,
)
from service.errors import ConfigurationInvalid, PackagesShadowed, ServiceError
from service.exit_statuses import DEVICE_LOST, USAGE
from service.guard import check_packages

app = typer.Typer(
    name="headrace",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for group in (run, demo, replay, compare, sweep, operating, checkpoints, export, dead_letters, models, keys, config):
    group.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"headrace {version('headrace')}")
        except PackageNotFoundError:
            typer.echo("headrace, run from a folder without being installed")
        raise typer.Exit


@app.callback(help="Keeps a PyTorch model learning from a Kafka topic and serves it while it learns.")
def _headrace(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before any command."""


def main() -> None:
    """Run the command line and end the process.

    The status is 0 when all went well, 2 for wrong usage or settings, 130 after Ctrl-C, 75 where the accelerator is
    lost to the process, 1 for the rest.
    """
    try:
        check_packages()
        app(prog_name="headrace")
    except Exception as error:  # noqa: BLE001  # every error ends here, in one line where somebody can do something
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print what went wrong, and return the exit status."""
    status = _status_after(error)
    if not _is_for_users(error):
        _report(error)
    elif _wants_traceback(error):
        traceback.print_exception(error)
    else:
        print(f"error: {_say(error)}", file=sys.stderr)
    return status


def _status_after(error: Exception) -> int:
    if isinstance(error, PackagesShadowed | ConfigurationInvalid):
        return USAGE
    from models.errors import DeviceLost  # noqa: PLC0415 - after the guard

    return DEVICE_LOST if isinstance(error, DeviceLost) else 1


def _report(error: Exception) -> None:
    """Show a defect of ours: in the log where there is one, so that it stays one entry of it."""
    if logging.getLogger().handlers:
        logging.getLogger("headrace").critical("headrace failed in a way that it must not", exc_info=error)
    else:
        traceback.print_exception(error)


def _is_for_users(error: Exception) -> bool:
    """Whether the message says what to do; anything else is a defect, whose traceback is wanted."""
    if isinstance(error, ServiceError | OSError):
        return True
    # After the guard: these packages are ours, or were never reached.
    from consumers.errors import ConsumerError  # noqa: PLC0415 - see above
    from models.errors import ModelError  # noqa: PLC0415 - see above

    return isinstance(error, ConsumerError | ModelError)


def _say(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ServiceError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _wants_traceback(error: Exception) -> bool:
    if isinstance(error, PackagesShadowed):
        # The settings would import the very packages that are not ours.
        return False
    from service.config import wants_traceback  # noqa: PLC0415 - after the guard

    return wants_traceback()


if __name__ == "__main__":
    main()
