"""Checkpoints: exact, kept in small number, and passed over where they are broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from consumers.source import Position
from models.learner import LearnerState
from service.checkpoints import Checkpoint, CheckpointStore
from service.durability import manifest
from service.errors import CheckpointInvalid, SchemaUnknown
from tests.support.checkpointing import assert_same, checkpoint, loaded, segments, state


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    """A restarted learner would differ from the one that was saved."""
    arrays: dict[str, Any] = {
        f"kinds/{kind}": np.frombuffer(np.random.default_rng(0).bytes(240), kind).reshape(2, 3, -1).copy()
        for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
    }
    arrays["kinds/flags"] = np.array([True, False, True])
    arrays["kinds/not finite"] = np.array([np.nan, np.inf, -np.inf, -0.0])
    arrays["odd/empty"] = np.empty((0, 7), np.float32)
    arrays["odd/scalar"] = np.array(3.5)
    arrays["odd/transposed"] = np.arange(6.0).reshape(2, 3).T
    arrays["odd/ünïcode/with a slash"] = np.zeros(1)
    arrays["alone"] = np.ones(2)
    # The number: PCG64's state has 128 bits.
    meta = {"random": 2**127 + 1, "third": 1 / 3, "infinite": float("inf"), "names": ["a", None, True, 1, 1.0]}
    service = {"totals": {"x": 3}, "task": None}
    original = Checkpoint(
        7, 3, {0: Position(5, 2)}, LearnerState(meta, arrays), service, 12.25, {"online": LearnerState({}, {})}
    )
    store = CheckpointStore(tmp_path / "model" / "checkpoints")
    info = store.save(original)
    found = store.load()
    assert found is not None
    assert (found.version, found.epoch, found.positions, found.service, found.created) == (
        7,
        3,
        {0: Position(5, 2)},
        service,
        12.25,
    )
    assert isinstance(found.positions[0], Position)
    assert_same(found.learner, original.learner)
    assert [type(name) for name in found.learner.meta["names"]] == [str, type(None), bool, int, float]
    assert_same(found.others["online"], original.others["online"])
    assert all(array.flags.writeable and array.flags.owndata for array in found.learner.arrays.values())
    assert store.list() == [info]
    assert info.size == sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert store.load(info) is not None


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    """A first start would fail."""
    store = CheckpointStore(tmp_path / "nowhere")
    assert store.load() is None
    assert store.list() == []
    assert store.verify() == []


def test_segments_are_what_the_library_writes(tmp_path: Path) -> None:
    """Other tools could not read the parameters."""
    CheckpointStore(tmp_path).save(checkpoint(1))
    for path in tmp_path.glob("segments/*/*"):
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118 -- it is no dict
                assert file.get_tensor(name).size in (1000, 5000)


def test_unchanged_segments_are_not_written_again(tmp_path: Path) -> None:
    """Every checkpoint would cost as much as the whole model."""
    store = CheckpointStore(tmp_path)
    store.save(checkpoint(1))
    before = segments(tmp_path)
    store.save(checkpoint(2))
    after = segments(tmp_path)
    assert len(before) == 2
    assert len(after) == 3
    assert before.items() <= after.items()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """The disk would fill, or a kept checkpoint would lack a segment."""
    store = CheckpointStore(tmp_path, keep=3)
    for version in range(1, 11):
        store.save(checkpoint(version))
        assert all(problem is None for _, problem in store.verify())
    assert [info.version for info in store.list()] == [10, 9, 8]
    assert len(segments(tmp_path)) == 5, "three of what changes, and two series of what does not"
    for info in store.list():
        found = store.load(info)
        assert found is not None
        assert_same(found.learner, state(info.version))


def test_a_former_owner_removes_nothing_of_its_successor(tmp_path: Path) -> None:
    """A thawed trainer would delete what its successor's checkpoints stand on."""
    former, current = CheckpointStore(tmp_path, keep=2), CheckpointStore(tmp_path, keep=2)
    former.save(checkpoint(1, epoch=1))
    current.save(checkpoint(2, epoch=2))
    for version in range(3, 6):  # the very same slow segment all along
        former.save(checkpoint(version, epoch=1))
    current.save(checkpoint(6, epoch=2))
    former.save(checkpoint(5, epoch=1))
    assert loaded(tmp_path).version == 6
    assert all(problem is None for _, problem in current.verify())


def test_an_owner_clears_what_its_predecessors_left(tmp_path: Path) -> None:
    """Segments of crashed checkpoints would stay for ever."""
    first = CheckpointStore(tmp_path, keep=2)
    first.save(checkpoint(1, epoch=1))
    (tmp_path / "segments/000001/half.safetensors.tmp").write_bytes(b"x")
    second = CheckpointStore(tmp_path, keep=2)
    for version in range(2, 4):
        second.save(checkpoint(version, epoch=2))
    assert not (tmp_path / "segments/000001").exists()
    assert len(segments(tmp_path)) == 4


Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip, empty, Path.unlink])
@pytest.mark.parametrize("what", ["manifest", "segment"])
def test_a_broken_checkpoint_is_passed_over(tmp_path: Path, damage: Damage, what: str) -> None:
    """One bad block on the disk would stop the trainer, or be learned on from."""
    problems: list[str] = []
    store = CheckpointStore(tmp_path, on_problem=problems.append)
    store.save(checkpoint(1))
    before = set(segments(tmp_path))
    newest = store.save(checkpoint(2)).path
    broken = newest if what == "manifest" else tmp_path / "segments/000001" / (set(segments(tmp_path)) - before).pop()
    damage(broken)
    found = store.load()
    assert found is not None
    assert found.version == 1
    assert_same(found.learner, state(1))
    if broken.exists() or what == "segment":
        assert len(problems) == 1
        assert str(broken) in problems[0]
        assert [problem is None for _, problem in store.verify()] == [False, True]
    store.save(checkpoint(3))
    assert loaded(tmp_path).version == 3


@pytest.mark.parametrize("keep", [2, 3, 5])
def test_a_segment_that_rots_leaves_a_checkpoint_that_does_not_need_it(tmp_path: Path, keep: int) -> None:
    """One flipped bit in what never changes would break every checkpoint there is."""
    problems: list[str] = []
    store = CheckpointStore(tmp_path, keep=keep, on_problem=problems.append)
    for version in range(1, 3 * keep):
        store.save(checkpoint(version))
        if version < keep:
            continue
        for path in tmp_path.glob("segments/*/*"):
            whole = path.read_bytes()
            flip(path)
            found = store.load()
            assert found is not None
            assert_same(found.learner, state(found.version))
            assert found.positions[0].offset == found.version
            path.write_bytes(whole)


def test_nothing_but_broken_checkpoints(tmp_path: Path) -> None:
    """The trainer would quietly begin from nothing and overwrite what could be restored from a backup."""
    store = CheckpointStore(tmp_path)
    flip(store.save(checkpoint(1)).path)
    with pytest.raises(CheckpointInvalid, match="backup"):
        store.load()


def test_the_schema_version_before_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade would lose the model."""
    store = CheckpointStore(tmp_path)
    store.save(checkpoint(1))
    monkeypatch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
    assert loaded(tmp_path).version == 1
    monkeypatch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
    with pytest.raises(SchemaUnknown):
        store.load()


def test_a_later_schema_is_not_replaced_by_an_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a downgrade the trainer would quietly go back to the last checkpoint that it understands."""
    store = CheckpointStore(tmp_path)
    store.save(checkpoint(1))
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
        store.save(checkpoint(2))
    with pytest.raises(SchemaUnknown, match="use the version"):
        store.load()


def test_an_array_that_cannot_be_kept(tmp_path: Path) -> None:
    """A learner's mistake would surface at the restart, when it is too late."""
    broken = LearnerState({}, {"x/y": np.array(["text"])})
    with pytest.raises(CheckpointInvalid, match="y has type <U4"):
        CheckpointStore(tmp_path).save(checkpoint(1, learner=broken))
