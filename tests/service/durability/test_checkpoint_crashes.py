"""Checkpoints: the old one or the new one, whole, whatever happens while it is written."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.checkpoints import CheckpointStore
from service.errors import DurabilityLost, StorageFailed
from tests.support.checkpointing import (
    Failing,
    checkpoint,
    loaded,
    no_fault,
    steps_of_a_save,
    void,
)

REPOSITORY = Path(__file__).parents[3]


def test_a_former_owner_that_prunes_meanwhile(tmp_path: Path) -> None:
    """A thawed trainer would take segments for leftovers because their manifest is only being written."""
    former = CheckpointStore(tmp_path, keep=1)
    former.save(checkpoint(1, epoch=1))
    count = len(steps_of_a_save(tmp_path / "count"))
    for at in range(1, count):
        files = Failing(at, lambda: void(former.save(checkpoint(1, epoch=1))))
        current = CheckpointStore(tmp_path, keep=1, files=files)
        current.save(checkpoint(at + 1, epoch=2))
        assert loaded(tmp_path).version == at + 1
        assert [problem for _, problem in current.verify()] == [None]


def test_every_step_can_be_made_to_fail(tmp_path: Path) -> None:
    """The tests below would crash at no step at all."""
    assert set(steps_of_a_save(tmp_path)) == {"create", "append", "sync", "rename", "sync_folder", "remove"}


def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """A trainer killed while it writes a checkpoint could not start again, or would start from a mixture."""
    count = len(steps_of_a_save(tmp_path / "count"))
    assert count > 10
    # A process of its own that forks for each step: it has no threads, and its children just vanish.
    code = """
import os, sys
from pathlib import Path
from service.checkpoints import CheckpointStore
from tests.support.checkpointing import Failing, assert_same, checkpoint, state
folder, count = Path(sys.argv[1]), int(sys.argv[2])
versions = []
for step in range(1, count + 1):
    path = folder / str(step)
    CheckpointStore(path, keep=1).save(checkpoint(1))
    child = os.fork()
    if child == 0:
        CheckpointStore(path, keep=1, files=Failing(step, lambda: os._exit(9))).save(checkpoint(2))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, step
    found = CheckpointStore(path, keep=1).load()
    assert_same(found.learner, state(found.version))
    assert found.service == {"events": found.version}
    versions.append(found.version)
    again = CheckpointStore(path, keep=1)
    again.save(checkpoint(3, epoch=2))
    assert again.load().version == 3
    assert [problem for _, problem in again.verify()] == [None]
    left = [item for item in path.rglob("*") if item.is_file()]
    assert len(left) == 3, left
print(sorted(set(versions)))
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 2]"


def test_a_refused_step_leaves_the_old_one_and_the_next_succeeds(tmp_path: Path) -> None:
    """A full disk would cost the checkpoints that are there, or every later one."""

    def refuse() -> None:
        raise OSError(28, "No space left on device")

    steps = steps_of_a_save(tmp_path / "count")
    for at, name in enumerate(steps, 1):
        if name in ("sync", "sync_folder", "remove"):
            continue
        folder = tmp_path / str(at)
        CheckpointStore(folder).save(checkpoint(1))
        store = CheckpointStore(folder, files=Failing(at, refuse))
        with pytest.raises(StorageFailed, match="No space left"):
            store.save(checkpoint(2))
        assert not list(folder.rglob("*.tmp"))
        assert loaded(folder).version == 1
        store.save(checkpoint(3))
        assert loaded(folder).version == 3


def test_a_failing_fsync_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint would be reported that is not on the disk."""

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    CheckpointStore(tmp_path).save(checkpoint(1))
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DurabilityLost):
        CheckpointStore(tmp_path).save(checkpoint(2))
    assert loaded(tmp_path).version == 1


def test_every_file_is_synced_before_it_has_its_name(tmp_path: Path) -> None:
    """After a power loss a manifest would name segments that are empty."""
    steps = steps_of_a_save(tmp_path)
    written = [step for step in steps if step not in ("append", "remove")]
    one_file: Mapping[int, str] = dict(enumerate(["create", "sync", "rename", "sync_folder"]))
    assert written[:8] == [one_file[index % 4] for index in range(8)]


def test_the_segments_folder_of_a_first_epoch_is_made_durable(tmp_path: Path) -> None:
    """After a power loss the folder that a manifest points into would be missing."""
    files = Failing(-1, no_fault)
    CheckpointStore(tmp_path / "new", files=files).save(checkpoint(1))
    assert files.steps[:4] == ["sync_folder", "sync_folder", "sync_folder", "create"]
