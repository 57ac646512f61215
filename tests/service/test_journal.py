"""The journal: what was appended comes back, and nothing else does."""

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.durability.files import Files
from service.errors import DurabilityLost, StorageFailed
from service.journal import Decision, Entry, Journal, Update, read_journal
from tests.support.journaling import append, begin, newest, update, updates

REPOSITORY = Path(__file__).parents[2]


def test_entries_come_back(tmp_path: Path) -> None:
    """A restart would learn other microbatches than were learned."""
    entries: list[Entry] = [
        Decision("task", 0, {"task": "binary", "classes": ["late", 1, True, None], "x": {"y": [1.5]}}),
        update(1),
        Update(2, "online", [], {}, skip=True, lesson=b"\x00what was said"),
        Decision("rollback", 3, {"restored_from": 1}),
        Update(4, "microbatch", [], {}, effort=2),
        update(5),
    ]
    journal, tail = begin(tmp_path / "journal", 1)
    assert not tail.entries
    assert not tail.tail_lost
    assert tail.resume_version == 0
    append(journal, entries)
    tail = read_journal(tmp_path / "journal", -1)
    assert tail.entries == entries
    assert tail.resume_version == 5
    assert not tail.problems


def test_only_what_follows_the_checkpoint(tmp_path: Path) -> None:
    """Events would be learned twice."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    assert read_journal(tmp_path, 3).entries == updates(4, 5)
    assert not read_journal(tmp_path, 5).entries


def test_decisions_at_the_version_of_a_checkpoint(tmp_path: Path) -> None:
    """A decision made between a checkpoint and the next update would be forgotten."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    journal.rotate(5)
    fallback = Decision("fallback", 5, {})
    journal.append(fallback)
    assert read_journal(tmp_path, 5).entries == [fallback]
    journal.rotate(5)
    append(journal, updates(6, 6))
    assert read_journal(tmp_path, 5).entries == [fallback, update(6)]
    begin(tmp_path, 2, after=5)[0].rotate(6)
    assert read_journal(tmp_path, 5).entries == [fallback, update(6)]


def test_an_append_survives_sigkill(tmp_path: Path) -> None:
    """A version that was served would stand for other parameters after a crash."""
    code = """
import os, signal, sys
from pathlib import Path
from service.journal import Decision, Journal, read_journal
folder = Path(sys.argv[1])
journal = Journal(folder, 1, 0, read_journal(folder, -1))
for version in range(1, 501):
    journal.append(Decision("x", version, {}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert done.returncode == -signal.SIGKILL
    tail = read_journal(tmp_path, -1)
    assert [entry.version for entry in tail.entries] == list(range(1, 501))
    assert tail.resume_version == 500


def test_a_former_owner_writes_in_vain(tmp_path: Path) -> None:
    """What a thawed trainer appends would be replayed on top of its successor's updates."""
    former, _ = begin(tmp_path, 1)
    append(former, updates(1, 5))
    current, tail = begin(tmp_path, 2)
    assert tail.entries == updates(1, 5)
    append(former, updates(6, 8))
    former.rotate(8)
    append(former, updates(9, 12))
    append(current, updates(6, 7))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 7)
    current.rotate(7)
    assert read_journal(tmp_path, 3).entries == updates(4, 7)
    assert not read_journal(tmp_path, 7).entries
    third, tail = begin(tmp_path, 3, after=6)
    append(third, updates(8, 8))
    assert read_journal(tmp_path, 2).entries == updates(3, 8)


def test_an_owner_that_died_before_it_wrote(tmp_path: Path) -> None:
    """The history would end at an owner who had nothing to say."""
    first, _ = begin(tmp_path, 1)
    append(first, updates(1, 3))
    third, tail = begin(tmp_path, 3)
    assert tail.entries == updates(1, 3)
    append(third, updates(4, 4))
    assert read_journal(tmp_path, -1).entries == updates(1, 4)


def test_pruning(tmp_path: Path) -> None:
    """The folder would grow for ever, or lack what a kept checkpoint needs."""
    former, _ = begin(tmp_path, 1)
    append(former, updates(1, 10))
    former.rotate(10)
    append(former, updates(11, 20))
    journal, _ = begin(tmp_path, 2)
    former.rotate(20)  # a stray: the new owner has read already
    append(journal, updates(21, 30))
    journal.rotate(30)
    append(journal, updates(31, 35))
    journal.prune(9)
    assert read_journal(tmp_path, 9).entries == updates(10, 35)
    journal.prune(12)
    assert read_journal(tmp_path, 12).entries == updates(13, 35)
    assert len(list(tmp_path.glob("*.journal"))) == 3
    journal.prune(31)
    assert read_journal(tmp_path, 31).entries == updates(32, 35)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    # A former owner must leave its successor's files alone.
    former.prune(10**6)
    assert read_journal(tmp_path, 31).entries == updates(32, 35)


@contextmanager
def full_disk(free: int, path: Path) -> Iterator[None]:
    """Let the file at `path` grow by `free` bytes only, by the system's own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_no_room_for_an_append(tmp_path: Path) -> None:
    """Half an entry would stay in the file, and everything appended after it would be lost."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    with full_disk(10, newest(tmp_path)), pytest.raises(StorageFailed, match="free space"):
        journal.append(update(6))
    append(journal, updates(6, 8))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 8)
    assert not tail.tail_lost


def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    """A rotation that fails would take the journal down with it."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 2))
    (tmp_path / "small").write_bytes(b"")
    with full_disk(10, tmp_path / "small"), pytest.raises(StorageFailed):
        journal.rotate(2)
    append(journal, updates(3, 4))
    journal.rotate(4)
    append(journal, updates(5, 6))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 6)
    assert not tail.tail_lost


def test_a_failing_fsync_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer would go on as if what it wrote were on disk."""
    journal, _ = begin(tmp_path, 1)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DurabilityLost):
        journal.sync()


def test_files_and_folder_are_synced(tmp_path: Path) -> None:
    """After a power loss, entries older than a second would be missing."""
    synced: list[str] = []

    class Watched(Files):
        def sync(self, descriptor: int, path: Path) -> None:
            synced.append(path.name)
            super().sync(descriptor, path)

        def sync_folder(self, folder: Path) -> None:
            synced.append(folder.name)
            super().sync_folder(folder)

    journal = Journal(tmp_path, 1, 0, read_journal(tmp_path, -1), Watched())
    first = newest(tmp_path).name
    assert synced[-2:] == [first, tmp_path.name]
    append(journal, updates(1, 3))
    journal.rotate(3)
    synced.clear()
    journal.sync()
    assert synced == [first, newest(tmp_path).name, tmp_path.name]
    synced.clear()
    journal.sync()
    assert synced == [newest(tmp_path).name]


def test_reading_beside_appending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner that is rebuilt while another one stands in would take the journal for damaged."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 3))
    path = newest(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])

    def meanwhile(_: float) -> None:
        path.write_bytes(whole + whole[-9:])  # the write goes on, and another one begins

    monkeypatch.setattr("service.durability.journal_reading.time.sleep", meanwhile)
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 3)
    assert not tail.problems


def test_syncing_beside_appending(tmp_path: Path) -> None:
    """The background thread would sync a file that is just being replaced, or hold up learning."""
    journal, _ = begin(tmp_path, 1)
    done = threading.Event()
    failures: list[BaseException] = []

    def keep_syncing() -> None:
        try:
            while not done.is_set():
                journal.sync()
                journal.prune(-1)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion below
            failures.append(error)

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for version in range(1, 5001):
        journal.append(update(version))
        if version % 100 == 0:
            journal.rotate(version)
    done.set()
    thread.join()
    assert not failures
    journal.close()
    assert read_journal(tmp_path, -1).entries == updates(1, 5000)
