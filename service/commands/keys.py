"""``headrace keys``: makes, lists and removes the keys that open the API."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.options import ConfigOption, JsonOption

_FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The file of keys; without it the one of security.api_keys_file.", metavar="FILE"),
]
_NameArgument = Annotated[str, typer.Argument(help="Whose key it is; stands in logs.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Make, list and remove the keys that open the API.", no_args_is_help=True)
    group.command()(add)
    group.command(name="list")(list_)
    group.command()(remove)
    app.add_typer(group, name="keys")


def add(
    name: _NameArgument,
    *,
    role: Annotated[
        list[str] | None,
        typer.Option(help="What it opens: predict, ingest or operate; may be given several times.", metavar="ROLE"),
    ] = None,
    file: _FileOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and print it this one time: the file keeps only what it takes to recognise it."""
    from service.errors import KeysInvalid
    from service.security.keys_file import ROLES, add_key

    wanted = [each for each in ROLES if each in (role or ())]
    if set(role or ()) - set(wanted):
        raise KeysInvalid(f"--role: must be one of {', '.join(ROLES)}")
    path = _path(file, config)
    key = add_key(path, name, wanted)
    if as_json:
        typer.echo(json.dumps({"name": name, "roles": wanted, "key": key, "file": str(path)}))
        return
    typer.echo(key)
    typer.echo(f"{name} may now {', '.join(wanted)}. The key is kept nowhere: note it now.", err=True)


def list_(file: _FileOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys: names and roles."""
    from service.security.keys_file import ROLES, read_keys

    found = read_keys(_path(file, config))
    for fault in found.faults:
        typer.echo(fault, err=True)
    keys: list[dict[str, Any]] = [
        {"name": key.name, "roles": [role for role in ROLES if role in key.roles]} for key in found.keys
    ]
    if as_json:
        typer.echo(json.dumps({"keys": keys, "faults": found.faults}))
        return
    for key in keys:
        typer.echo(f"{key['name']}  {','.join(key['roles'])}")


def remove(name: _NameArgument, file: _FileOption = None, config: ConfigOption = None) -> None:
    """Remove a key; servers refuse it within seconds."""
    from service.security.keys_file import remove_key

    path = _path(file, config)
    remove_key(path, name)
    typer.echo(f"{name} opens nothing any more ({path})", err=True)


def _path(file: Path | None, config: Path | None) -> Path:
    """Return which file is meant."""
    if file is not None:
        return file
    from service.config import load_settings
    from service.errors import KeysInvalid

    configured = load_settings(config).security.api_keys_file
    if configured is None:
        raise KeysInvalid("name the file of keys: --file FILE, or security.api_keys_file in the configuration")
    return configured
