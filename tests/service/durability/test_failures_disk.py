"""A disk that is full for a while, or does not keep what it was given, at each thing that a trainer writes."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.testing import MemorySource
from service.errors import DurabilityLost
from tests.support.checksums import checksum_of_single
from tests.support.training import events, learned, open_model, running, settings


class FullDisk:
    """Refuses to make or to extend files whose path holds a text, for as long as a test wants.

    Attributes
    ----------
    full
        The text; None while there is room.
    refused
        How often something was refused.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full: str | None = None
        self.refused = 0
        for module, name in ((os, "write"), (os, "writev"), (os, "posix_fallocate")):
            self._guard(monkeypatch, module, name, lambda descriptor, *_: path_of(descriptor))
        self._guard(monkeypatch, os, "open", lambda path, flags, *_: str(path) if flags & os.O_CREAT else "")
        self._guard(monkeypatch, Path, "write_bytes", lambda path, *_: str(path))

    def _guard(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, of: Callable[..., str]) -> None:
        genuine = getattr(owner, name)

        def guarded(*arguments: Any, **named: Any) -> Any:
            if self.full is not None and self.full in of(*arguments):
                self.refused += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return genuine(*arguments, **named)

        monkeypatch.setattr(owner, name, guarded)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def path_of(descriptor: int) -> str:
    """Return the path of an open file."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def grown(count: int, first: int) -> Sequence[bytes]:
    """Return events with features that were not there before: what is published then takes more room."""
    return [value.replace(b'"x"', b'"new": 1.5, "x"') for value in events(count, first=first)]


WRITES = {
    "journal": "/journal/",
    "checkpoint": "/checkpoints/",
    "publication": "/publish/default/epoch",
    "status": "status.json",
    "everything": "/",
}


@pytest.mark.parametrize("place", WRITES.values(), ids=WRITES)
def test_a_full_disk_is_waited_for(tmp_path: Path, disk: FullDisk, place: str) -> None:
    """Else a disk that is full for a minute ends the trainer, or leaves events out, or learns them twice."""
    chosen, source = settings(tmp_path), MemorySource({0: events(100)})
    with running(open_model(chosen, source, lease_seconds=30.0)) as run:
        run.wait_for(learned(100))
        disk.full = str(tmp_path) if place == "/" else place
        source.append(0, *grown(100, first=100))
        while disk.refused < 2 and run.error is None:
            time.sleep(0.05)
            source.append(0, *grown(1, first=len(read(source))))
        disk.full = None
        assert run.error is None
        total = len(read(source))
        status = run.wait_for(lambda status: learned(total)(status) and status.state == "idle")
        assert status.events_checksum == checksum_of_single({0: total})
    assert run.error is None
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(total))
        assert (status.events_learned, status.events_checksum) == (
            {"microbatch": total},
            checksum_of_single({0: total}),
        )


def read(source: MemorySource) -> list[object]:
    """Return all that a source holds."""
    return list(source.open({}).poll(10**6, 0.0))


FSYNCS = {"journal": "/journal/", "checkpoint": "/checkpoints/"}


@pytest.mark.parametrize("place", FSYNCS.values(), ids=FSYNCS)
def test_a_failing_fsync_ends_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Else it goes on with a disk that has lost what it said it had kept, and tries until that says yes."""
    chosen, source, genuine = settings(tmp_path), MemorySource({0: events(100)}), os.fsync
    failed = []

    def fsync(descriptor: int) -> None:
        if place in f"{path_of(descriptor)}/":
            failed.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        genuine(descriptor)

    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(100))
        monkeypatch.setattr(os, "fsync", fsync)
        source.append(0, *events(100, first=100))
        with pytest.raises(DurabilityLost, match="check the disk"):
            run.wait_for(lambda _: False)
    monkeypatch.setattr(os, "fsync", genuine)
    assert len(failed) == 1, "a failed fsync was tried again"
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(200))
        assert status.events_checksum == checksum_of_single({0: 200})
