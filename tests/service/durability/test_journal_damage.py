"""The journal after damage and power loss: a beginning of what was appended, and no version given out twice."""

from pathlib import Path

import msgspec
import pytest

from service.durability import journal_format
from service.errors import JournalInvalid
from service.journal import RESERVED_BLOCK, read_journal
from tests.support.journaling import append, begin, newest, update, updates


@pytest.fixture
def rebooted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the reading side believe that the machine was restarted."""
    monkeypatch.setattr("service.durability.journal_reading.boot_id", lambda: "another boot")


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


def test_a_journal_begun_anew_belongs_to_its_checkpoint(tmp_path: Path) -> None:
    """Where a later checkpoint turns out broken, entries that follow it would be applied to the one before."""
    journal, tail = begin(tmp_path, 1, after=100)
    version = tail.resume_version
    append(journal, updates(version + 1, version + 2))
    assert read_journal(tmp_path, 100).entries == updates(version + 1, version + 2)
    older = read_journal(tmp_path, 50)
    assert not older.entries
    assert older.tail_lost
    assert older.resume_version >= version + 2


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
    for number, version in enumerate(range(1, 5 * RESERVED_BLOCK, 997)):
        journal.append(update(version))
        reserved = journal_format.decode_number(next(tmp_path.glob("*.reserved")).read_bytes())
        assert reserved is not None
        assert reserved >= version
        if number % 30 == 0:
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


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A journal that this version cannot understand would be taken for damaged, and its end dropped."""
    header = journal_format.frame(msgspec.msgpack.encode({"schema": journal_format.SCHEMA + 1, "new": []}))
    (tmp_path / journal_format.file_name(1, 0)).write_bytes(header)
    with pytest.raises(JournalInvalid, match="newer version"):
        read_journal(tmp_path, -1)


def test_the_journal_of_a_former_version_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade would take what came after the last checkpoint for lost."""
    with monkeypatch.context() as former:
        former.setattr("service.journal.SCHEMA", 4)
        journal, _ = begin(tmp_path, 1)
        append(journal, updates(1, 5))
        journal.close()
    assert b"\xa6schema\x04" in newest(tmp_path).read_bytes()
    tail = read_journal(tmp_path, -1)
    assert list(tail.entries) == updates(1, 5)
    assert not tail.problems
