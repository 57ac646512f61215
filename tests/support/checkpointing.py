"""Checkpoints to save, and a disk that fails at any step, for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from consumers.source import Position
from models.learner import Array, LearnerState
from service.checkpoints import Checkpoint, CheckpointStore
from service.durability.files import Buffer, Files


def state(version: int) -> LearnerState:
    """Return a state with a segment that changes with every version and one that never does."""
    arrays: dict[str, Array] = {
        "fast/weights": np.full(1000, version, np.float32),
        "slow/table": np.arange(5000, dtype=np.float64),
    }
    return LearnerState({"version": version}, arrays)


def checkpoint(version: int, epoch: int = 1, learner: LearnerState | None = None, **more: Any) -> Checkpoint:
    positions = {0: Position(version, 3), 11: Position(2**50)}
    return Checkpoint(version, epoch, positions, learner or state(version), {"events": version}, 1.5, **more)


def assert_same(found: LearnerState, expected: LearnerState) -> None:
    assert dict(found.meta) == dict(expected.meta)
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def loaded(folder: Path) -> Checkpoint:
    found = CheckpointStore(folder).load()
    assert found is not None
    return found


def segments(folder: Path) -> dict[str, int]:
    """Return the inode of every segment."""
    return {path.name: path.stat().st_ino for path in folder.glob("segments/*/*")}


class Failing(Files):
    """Fails at one step, counted over all kinds of steps."""

    def __init__(self, at: int, fail: Callable[[], None]) -> None:
        self.at = at
        self.fail = fail
        self.steps: list[str] = []

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self.at:
            self.fail()

    def create(self, path: Path) -> int:
        self._step("create")
        return super().create(path)

    def append(self, descriptor: int, part: Buffer) -> None:
        half = memoryview(part).cast("B")
        super().append(descriptor, half[: len(half) // 2])
        self._step("append")
        super().append(descriptor, half[len(half) // 2 :])

    def sync(self, descriptor: int, path: Path) -> None:
        self._step("sync")
        super().sync(descriptor, path)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder")
        super().sync_folder(folder)

    def remove(self, path: Path) -> None:
        self._step("remove")
        super().remove(path)


def void(_: object) -> None:
    """Forget a result."""


def no_fault() -> None:
    """Go on."""


def steps_of_a_save(folder: Path) -> list[str]:
    """Return the steps of the second save, which prunes the first."""
    CheckpointStore(folder, keep=1).save(checkpoint(1))
    files = Failing(-1, no_fault)
    CheckpointStore(folder, keep=1, files=files).save(checkpoint(2))
    return files.steps
