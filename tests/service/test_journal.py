"""The journal: what was appended comes back, and nothing else does."""

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.source import Position
from consumers.track import Run
from service import journal_format
from service.errors import DurabilityLost, JournalInvalid, StorageFailed
from service.files import Files
from service.journal import RESERVED_BLOCK, Decision, Entry, Journal, JournalTail, Update, read_journal

REPOSITORY = Path(__file__).parents[2]


def update(version: int) -> Update:
    return Update(version, "microbatch", [Run(0, 3), Run(7, 61)], {0: Position(version, 2), 7: Position(2**40, 0)})


def updates(first: int, last: int) -> list[Entry]:
    return [update(version) for version in range(first, last + 1)]


def begin(folder: Path, epoch: int, after: int = -1) -> tuple[Journal, JournalTail]:
    """Start as a trainer does."""
    tail = read_journal(folder, after)
    return Journal(folder, epoch, tail.resume_version, tail), tail


def append(journal: Journal, entries: Sequence[Entry]) -> None:
    for entry in entries:
        journal.append(entry)


def newest(folder: Path) -> Path:
    return max(folder.glob("*.journal"))


@pytest.fixture
def rebooted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the reading side believe that the machine was restarted."""
    monkeypatch.setattr("service.journal_reading.boot_id", lambda: "another boot")


def test_entries_come_back(tmp_path: Path) -> None:
    """A restart would learn other microbatches than were learned."""
    entries: list[Entry] = [
        Decision("task", 0, {"task": "binary", "classes": ["late", 1, True, None], "x": {"y": [1.5]}}),
        update(1),
        Update(2, "online", [], {}, skip=True),
        Decision("rollback", 3, {"restored_from": 1}),
        update(4),
    ]
    journal, tail = begin(tmp_path / "journal", 1)
    assert not tail.entries
    assert not tail.tail_lost
    assert tail.resume_version == 0
    append(journal, entries)
    tail = read_journal(tmp_path / "journal", -1)
    assert tail.entries == entries
    assert tail.resume_version == 4
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


def test_torn_end(tmp_path: Path) -> None:
    """Half an entry would be replayed, or would keep the trainer from starting, or its version would be used again."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    path = newest(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 4)
    assert tail.tail_lost
    assert tail.resume_version == RESERVED_BLOCK
    again, _ = begin(tmp_path, 2)
    append(again, updates(RESERVED_BLOCK + 1, RESERVED_BLOCK + 2))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == [*updates(1, 4), *updates(RESERVED_BLOCK + 1, RESERVED_BLOCK + 2)]
    assert not tail.tail_lost


def test_damage_in_the_middle(tmp_path: Path) -> None:
    """Entries would be applied to a state that lacks those before them."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 50))
    journal.rotate(50)
    append(journal, updates(51, 60))
    path = min(tmp_path.glob("*.journal"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    tail = read_journal(tmp_path, -1)
    assert list(tail.entries) == updates(1, len(tail.entries))
    assert 10 < len(tail.entries) < 40
    assert tail.tail_lost
    assert tail.resume_version >= 60
    assert path.name in tail.problems[0]
    assert read_journal(tmp_path, 50).entries == updates(51, 60)
    begin(tmp_path, 2)
    assert read_journal(tmp_path, -1).entries == tail.entries


def test_a_skip_outlasts_another_restart(tmp_path: Path) -> None:
    """A trainer that restarts twice after a loss, without an update in between, would use lost versions again."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    newest(tmp_path).write_bytes(newest(tmp_path).read_bytes()[:-100])
    begin(tmp_path, 2)
    tail = read_journal(tmp_path, -1)
    assert not tail.tail_lost
    assert tail.resume_version == RESERVED_BLOCK


def test_zeros_are_not_entries(tmp_path: Path) -> None:
    """A file system that filled the end with zeros after a power loss would yield empty entries."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    with newest(tmp_path).open("ab") as file:
        file.write(bytes(4096))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 5)
    assert tail.tail_lost


def test_empty_newest_file(tmp_path: Path) -> None:
    """A crash between making a file and writing its header would end the history there."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    (tmp_path / journal_format.file_name(1, 5)).touch()
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 5)
    assert not tail.tail_lost
    assert read_journal(tmp_path, 5).entries == []


def test_damaged_header(tmp_path: Path) -> None:
    """The versions in a file that cannot be read at all would be used again."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    journal.rotate(5)
    append(journal, updates(6, 9))
    path = newest(tmp_path)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 5)
    assert tail.tail_lost
    assert tail.resume_version >= 9


def test_missing_file(tmp_path: Path) -> None:
    """Entries would be applied to a state that lacks those before them."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    journal.rotate(5)
    append(journal, updates(6, 9))
    journal.rotate(9)
    append(journal, updates(10, 12))
    (tmp_path / journal_format.file_name(1, 5)).unlink()
    tail = read_journal(tmp_path, 2)
    assert tail.entries == updates(3, 5)
    assert tail.tail_lost
    assert tail.resume_version >= 12
    assert read_journal(tmp_path, 9).entries == updates(10, 12)


def test_journal_that_begins_after_the_checkpoint(tmp_path: Path) -> None:
    """Entries would be applied to an older state than they belong to."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    journal.rotate(5)
    append(journal, updates(6, 9))
    journal.prune(5)
    tail = read_journal(tmp_path, 3)
    assert not tail.entries
    assert tail.tail_lost
    again, _ = begin(tmp_path, 2, after=3)
    version = tail.resume_version
    append(again, updates(version + 1, version + 2))
    assert read_journal(tmp_path, 3).entries == updates(version + 1, version + 2)


def test_journal_folder_is_gone(tmp_path: Path) -> None:
    """Versions after the checkpoint would be used again."""
    tail = read_journal(tmp_path / "journal", 100)
    assert tail.tail_lost
    assert tail.resume_version > 100


@pytest.mark.usefixtures("rebooted")
def test_after_a_power_loss_versions_skip_ahead(tmp_path: Path) -> None:
    """A version whose journal entry never reached the disk would be given to other parameters."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 5)
    assert tail.tail_lost
    assert tail.resume_version == RESERVED_BLOCK


@pytest.mark.usefixtures("rebooted")
def test_a_closed_journal_lost_nothing(tmp_path: Path) -> None:
    """Every orderly restart of the machine would leave a gap in the versions."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    journal.close()
    tail = read_journal(tmp_path, -1)
    assert tail.entries == updates(1, 5)
    assert not tail.tail_lost


@pytest.mark.usefixtures("rebooted")
def test_versions_are_reserved_before_they_are_used(tmp_path: Path) -> None:
    """After a power loss numbering would resume below a version that was served."""
    journal, _ = begin(tmp_path, 1)
    for version in range(1, 3 * RESERVED_BLOCK, 997):
        journal.append(update(version))
        assert read_journal(tmp_path, version).reserved >= version
        if version % 2:
            journal.sync()
    again, tail = begin(tmp_path, 2)
    again.append(update(tail.resume_version + 1))
    assert read_journal(tmp_path, -1).reserved > tail.resume_version
    assert len(list(tmp_path.glob("*.reserved"))) == 1


def test_unreadable_reservation(tmp_path: Path) -> None:
    """A damaged reservation would let versions be used again."""
    journal, _ = begin(tmp_path, 1)
    append(journal, updates(1, 5))
    next(tmp_path.glob("*.reserved")).write_bytes(b"garbage")
    tail = read_journal(tmp_path, -1)
    assert tail.tail_lost
    assert tail.resume_version > RESERVED_BLOCK


def test_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that this version cannot understand would be taken for damaged, and its end dropped."""
    monkeypatch.setattr("service.journal.SCHEMA", 2)
    begin(tmp_path, 1)
    with pytest.raises(JournalInvalid, match="newer version"):
        read_journal(tmp_path, -1)


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
