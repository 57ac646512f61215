"""What somebody else can have written is never unpickled: it would run as this process."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consumers.source import Position
from models.examples import Task
from service.checkpoints import CheckpointStore
from service.cli import app
from service.durability.ownership import make_private, read_own, stranger
from service.errors import CheckpointInvalid, ConfigurationInvalid, PublicationMissing
from service.publishing.subscription import Subscription
from service.wiring import model_paths
from tests.support.serving import ONLINE, checkpoint, publish, serving_settings, taught


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what has been unpickled since."""
    seen: list[bytes] = []
    real = pickle.loads

    def watched(data: bytes, **options: Any) -> Any:
        seen.append(data)
        return real(data, **options)

    monkeypatch.setattr(pickle, "loads", watched)
    return seen


def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file that is opened belong to somebody else than this process."""
    real = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[4] = 4711  # st_uid
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", foreign)


def test_only_ones_own_files_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a file that everybody can write to, or another user's, counts as the service's own."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert stranger(path.stat()) is None
    assert read_own(path) == b"x"
    path.chmod(0o664)
    assert read_own(path) == b"x"
    path.chmod(0o666)
    with pytest.raises(PermissionError, match="everybody"):
        read_own(path)
    path.chmod(0o600)
    another_user(monkeypatch)
    with pytest.raises(PermissionError, match="belongs to user 4711"):
        read_own(path)


def test_the_folder_of_publications_is_private(tmp_path: Path) -> None:
    """Fails when others can put a publication where servers look, or a folder that they made first is taken."""
    folder = tmp_path / "a" / "publish"
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    make_private(folder)
    folder.chmod(0o777)
    with pytest.raises(ConfigurationInvalid, match=r"publish_dir: .* can be written to by everybody"):
        make_private(folder)


def test_no_command_starts_on_a_folder_of_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when `headrace serve` reads publications from a folder that anybody can write to."""
    monkeypatch.chdir(tmp_path)
    publications = tmp_path / "publish"
    publications.mkdir()
    publications.chmod(0o777)
    monkeypatch.setenv("HEADRACE_PUBLISH_DIR", str(publications))
    ended = CliRunner().invoke(app, ["serve"])
    assert ended.exit_code != 0
    assert isinstance(ended.exception, ConfigurationInvalid | SystemExit)


def test_a_publication_of_strangers_is_not_unpickled(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Fails when a server takes parameters that anybody can have written for those of its trainer."""
    settings = serving_settings(tmp_path)
    publish(settings, taught(Task.BINARY, ONLINE), 3)
    folder = model_paths(settings, "default").publication
    (path,) = folder.glob("epoch-*/layout-*")
    assert path.stat().st_mode & 0o777 == 0o600
    assert Subscription(folder).refresh()
    path.chmod(0o666)
    subscription = Subscription(folder)
    assert not subscription.refresh()
    with pytest.raises(PublicationMissing):
        subscription.header()
    assert not unpickled


@pytest.mark.parametrize("damage", ["everybody may write", "a changed byte"])
def test_a_checkpoint_that_cannot_be_trusted_is_not_unpickled(
    tmp_path: Path, unpickled: list[bytes], damage: str
) -> None:
    """Fails when River's state is unpickled before its checksum and its owner were looked at."""
    settings = serving_settings(tmp_path)
    checkpoint(settings, taught(Task.BINARY, ONLINE), 3, ONLINE)
    folder = model_paths(settings, "default").checkpoints
    store = CheckpointStore(folder)
    found = store.load()
    assert found is not None
    assert found.positions == {0: Position(3)}
    for path in folder.rglob("*.safetensors"):
        if damage == "a changed byte":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        else:
            path.chmod(0o666)
    with pytest.raises(CheckpointInvalid):
        CheckpointStore(folder).load()
    assert not unpickled
