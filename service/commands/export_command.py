"""What ``headrace export`` does."""

from pathlib import Path

from models.registry import prepare
from service.checkpoints import CheckpointStore
from service.commands.command_answers import Answer, model_of
from service.config import Settings
from service.errors import ConfigurationInvalid
from service.exporting.export_file import encode_export, write_export
from service.exporting.exporting import export_of
from service.operating.ordering import checkpoint_of
from service.wiring import model_paths


def export_command(settings: Settings, model: str | None, which: str | None, to: Path, *, with_state: bool) -> Answer:
    """Write a version of a model into the file `to`.

    Raises
    ------
    ConfigurationInvalid
        There is no such model, or no such folder.
    CheckpointInvalid, ModelError
        There is no such checkpoint, or it cannot be read.
    StorageFailed, DurabilityLost
        The file cannot be written.
    """
    name = model_of(settings, model)
    if not to.parent.is_dir():
        raise ConfigurationInvalid(f"--to {to}: there is no folder {to.parent}; make it first")
    prepare(threads=1)
    store = CheckpointStore(model_paths(settings, name).checkpoints)
    export = export_of(store, None if which is None else checkpoint_of(which), with_state=with_state)
    content = encode_export(export)
    write_export(to, content)
    version = export.about["version"]
    data = {"model": name, "version": version, "path": str(to), "bytes": len(content), "with_state": with_state}
    return Answer(f"version {version} of {name} is in {to}: {len(content) / 2**20:.1f} MiB", data)
