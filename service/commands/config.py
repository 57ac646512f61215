"""``headrace config show`` and ``check``: what the settings come to, and whether they are right."""

import typer

from service.commands.options import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Show and check the settings.", no_args_is_help=True)
    group.command()(show)
    group.command()(check)
    app.add_typer(group, name="config")


def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every setting that counts: defaults, over them the file, over that the environment. Secrets are hidden."""
    from service.config import load_settings
    from service.settings.yaml_text import as_yaml

    settings = load_settings(config)
    if as_json:
        typer.echo(settings.model_dump_json())
        return
    # A mapping as such, not as comments: what is printed can be used as a file.
    typer.echo(as_yaml(settings.model_dump(mode="json")), nl=False)


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say whether the settings are right; end with status 2 and what is wrong if they are not."""
    import json

    from service.config import find_file, load_settings
    from service.errors import ConfigurationInvalid

    file = find_file(config)
    answer = {"valid": True, "file": str(file) if file else None}
    try:
        settings = load_settings(config)
    except ConfigurationInvalid as error:
        if as_json:
            typer.echo(json.dumps(answer | {"valid": False, "errors": str(error).splitlines()}))
        raise
    if as_json:
        typer.echo(json.dumps(answer | {"models": list(settings.models)}))
        return
    origin = (
        f"{file} and the environment" if file else "the defaults and the environment (there is no headrace.yaml here)"
    )
    typer.echo(f"ok: {origin}; models: {', '.join(settings.models)}; data in {settings.data_dir.absolute()}")
