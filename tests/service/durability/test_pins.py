"""Names of checkpoints: what has one stays, and what a restart needs is not kept for it."""

from pathlib import Path

import pytest

from service.checkpoints import CheckpointStore
from service.durability.pins import NAME, Pin
from service.errors import CheckpointInvalid
from service.restart.rollback import find_checkpoint
from tests.support.checkpointing import assert_same, checkpoint, state


def pin(name: str, version: int) -> Pin:
    """Return a name for a version."""
    return Pin(name, version, 0.0, "ann", 1, "table")


def test_what_has_a_name_stays_until_it_has_none(tmp_path: Path) -> None:
    """The version that an operator trusts would be gone within half a minute."""
    store = CheckpointStore(tmp_path, keep=2)
    store.save(checkpoint(1))
    store.pins.put(pin("good", 1))
    for version in range(2, 9):
        store.save(checkpoint(version))
    again = CheckpointStore(tmp_path, keep=2)
    assert [(info.version, info.names) for info in again.list()] == [(8, ()), (7, ()), (1, ("good",))]
    assert [info.version for info in again.recent()] == [8, 7], "journal and log would be kept for ever"
    assert_same(find_checkpoint(again, "good").learner, state(1))
    assert all(problem is None for _, problem in again.verify())
    again.pins.remove("good")
    again.pins.remove("good")
    again.save(checkpoint(9))
    assert [info.version for info in again.list()] == [9, 8]
    with pytest.raises(CheckpointInvalid, match=r"no checkpoint called good .*9, 8"):
        find_checkpoint(again, "good")


def test_a_name_that_keeps_nothing_is_found(tmp_path: Path) -> None:
    """``headrace checkpoints verify`` would be content, and the day that it is needed it is not there."""
    store = CheckpointStore(tmp_path)
    store.save(checkpoint(3))
    store.pins.put(pin("good", 2))
    ((_, sound), (missing, problem)) = store.verify()
    assert sound is None
    assert missing.names == ("good",)
    assert problem is not None
    assert "called good is not there" in problem


def test_where_a_name_cannot_be_read_nothing_goes(tmp_path: Path) -> None:
    """One flipped bit would have the checkpoint removed that was to be kept for ever."""
    told: list[str] = []
    store = CheckpointStore(tmp_path, keep=1, on_problem=told.append)
    store.save(checkpoint(1))
    store.pins.put(pin("good", 1))
    (tmp_path / "pins" / "good.json").write_bytes(b'{"name": "go')
    store.save(checkpoint(2))
    assert [info.version for info in store.list()] == [2, 1]
    assert any("good.json" in each for each in told)


@pytest.mark.parametrize("name", ["412", "../x", "Good", "", "-a", "a" * 65, "good\n", "a/b"])
def test_what_is_no_name(name: str) -> None:
    """A name would be taken for a version, or be a file somewhere else."""
    assert not NAME.fullmatch(name)
