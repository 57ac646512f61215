"""The process around a trainer: what it makes of a failure when the model is no longer its own."""

import threading
from pathlib import Path

import pytest

from consumers.testing import MemorySource
from service.durability.lease import Lease
from service.errors import OwnershipLost, StorageFailed
from service.learning import trainer_process
from tests.support.training import open_model, settings


def test_what_a_successor_cleared_away_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a frozen trainer that wakes in mid-write ends with a complaint, instead of standing by."""

    def fail(_: object) -> None:
        raise StorageFailed("cannot write 000001.reserved: No such file or directory")

    monkeypatch.setattr(trainer_process, "start_trainer", fail)
    model = open_model(settings(tmp_path), MemorySource({0: []}))
    with pytest.raises(StorageFailed):
        trainer_process._own(model, threading.Event(), [])
    successor = Lease.acquire(model.paths.lease, lease_seconds=0.0)
    assert successor is not None
    with pytest.raises(OwnershipLost):
        trainer_process._own(model, threading.Event(), [])
    successor.release()
    model.lease.release()
