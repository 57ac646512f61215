"""Going back to a checkpoint: what it is written down as, and what is said where there is none."""

import os
from pathlib import Path

import pytest

from consumers.source import Position
from consumers.track import Run
from service.checkpoints import CheckpointStore
from service.errors import CheckpointInvalid
from service.journal import Decision, Journal, Update, read_journal
from service.restart.rollback import find_checkpoint
from tests.support.checkpointing import assert_same, checkpoint, state


def test_a_condemned_update_and_its_rollback_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two would have the next start learn, and serve, what was condemned."""
    journal = Journal(tmp_path, 1, 0, read_journal(tmp_path, -1))
    entries = (
        Update(1, "microbatch", [Run(0, 3)], {0: Position(3)}),
        Decision("rollback", 2, {"restored_from": 0}),
    )
    written: list[bytes] = []
    write = os.write

    def count(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", count)
    journal.append(*entries)
    monkeypatch.undo()
    assert len(written) == 1
    journal.close()
    assert tuple(read_journal(tmp_path, -1).entries) == entries


def test_a_checkpoint_is_found_by_its_version(tmp_path: Path) -> None:
    """An operator or a restart would go back to another one, or be told nothing."""
    store = CheckpointStore(tmp_path)
    for version in (3, 7):
        store.save(checkpoint(version))
    assert_same(find_checkpoint(store, 3).learner, state(3))
    with pytest.raises(CheckpointInvalid, match="7, 3"):
        find_checkpoint(store, 5)
