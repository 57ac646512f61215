"""Dead letters are kept once, counted for good, and read back as they were."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.dead_letters import DeadLetter, DeadLetters, Filter, Place
from consumers.errors import AppendFailed, DiskUnreliable, LogUnreadable, SourceUnavailable
from consumers.source import Position
from consumers.testing import ManualClock

LETTER = DeadLetter(
    "events", 3, 41, 2, "label", "'maybe' is no class of a regression", b"k", b"\x00\xff", (("a", b"\x00"),), 1_763
)

SCHEMA_BEFORE = """
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    UNIQUE (topic, partition, "offset", "index")
);
CREATE TABLE counts (reason TEXT PRIMARY KEY, letters INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO dead_letters VALUES (7, 'events', 3, 41, 2, 'label', 'why', x'6b', x'00ff', x'9192a161c40100', 1763);
INSERT INTO counts VALUES ('label', 12);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model" / "dead_letters.sqlite"


@pytest.fixture
def letters(path: Path) -> Iterator[DeadLetters]:
    opened = DeadLetters(path, keep=5, clock=ManualClock(99.0))
    yield opened
    opened.close()


def kept(letters: DeadLetters) -> list[DeadLetter]:
    """Return what a file holds, the oldest first."""
    return [each.letter for each in letters.find()]


def test_a_letter_is_read_back_as_it_was(letters: DeadLetters) -> None:
    """Else an operator looks at another event than the one that failed, or at the wrong time."""
    bare = replace(LETTER, offset=42, key=None, value=None, headers=(), refused_at=5, whole=True)
    assert letters.add([LETTER, bare]) == 2
    assert kept(letters) == [replace(LETTER, refused_at=99_000), bare]
    found = letters.at(Place("events", 3, 42, 2))
    assert found is not None
    assert (found.letter, found.forwarding, found.redrive) == (bare, "off", "none")
    assert letters.at(Place("events", 3, 43, 2)) is None


def test_a_replay_adds_nothing(letters: DeadLetters, path: Path) -> None:
    """Else each restart doubles the dead letters and their metric."""
    assert letters.add([LETTER, replace(LETTER, index=3)]) == 2
    letters.close()
    letters.close()
    again = DeadLetters(path)
    assert again.add([LETTER, replace(LETTER, index=3), replace(LETTER, partition=4)]) == 1
    assert again.counts() == {"label": 3}
    again.close()


def test_each_reason_is_counted(letters: DeadLetters) -> None:
    """Else dead_letters_total is wrong."""
    letters.add([replace(LETTER, offset=n, reason="malformed" if n % 3 else "label") for n in range(7)])
    assert letters.counts() == {"malformed": 4, "label": 3}
    assert letters.add([]) == 0


def test_the_oldest_make_room_and_stay_counted(letters: DeadLetters) -> None:
    """Else a stream of nothing but bad events fills the disk."""
    letters.add([replace(LETTER, offset=n) for n in range(8)])
    assert [letter.offset for letter in kept(letters)] == [3, 4, 5, 6, 7]
    assert letters.counts() == {"label": 8}


def test_those_that_made_room_are_not_counted_again(letters: DeadLetters) -> None:
    """Else a restart that reads a flood again doubles its count and pushes the newer letters out."""
    flood = [replace(LETTER, offset=n) for n in range(8)]
    letters.add(flood)
    assert letters.add(flood) == 0
    assert letters.counts() == {"label": 8}
    assert [letter.offset for letter in kept(letters)] == [3, 4, 5, 6, 7]
    assert letters.add([replace(LETTER, offset=1, partition=4)]) == 1


def test_large_letters_are_bounded_by_their_bytes(path: Path) -> None:
    """Else a hundred thousand megabyte strings, each within the number kept, fill the disk."""
    letters = DeadLetters(path, keep_bytes=10_000)
    letters.add([replace(LETTER, offset=n, value=b"x" * 3_000) for n in range(8)])
    assert [letter.offset for letter in kept(letters)] == [5, 6, 7]
    letters.add([replace(LETTER, offset=8, value=b"x" * 30_000)])
    assert [letter.offset for letter in kept(letters)] == [8], "the newest is kept, whatever its size"
    letters.close()


def test_letters_that_wait_to_be_forwarded_stay_longer_and_are_counted_when_they_go(path: Path) -> None:
    """Else a broker that is down for an hour costs letters, or fills the disk, or both without a word."""
    letters = DeadLetters(path, keep=5, forward=True)
    letters.add([replace(LETTER, offset=n) for n in range(10)])
    assert len(kept(letters)) == 10
    assert letters.outbox.pruned() == 0
    letters.add([replace(LETTER, offset=n) for n in range(10, 13)])
    assert [letter.offset for letter in kept(letters)] == list(range(3, 13))
    assert letters.outbox.pruned() == 3
    letters.outbox.sent(letters.outbox.waiting(100, 1 << 20))
    letters.add([replace(LETTER, offset=13)])
    assert [letter.offset for letter in kept(letters)] == [9, 10, 11, 12, 13]
    assert letters.outbox.pruned() == 3
    letters.close()


def test_a_full_disk_keeps_none_of_a_call(letters: DeadLetters) -> None:
    """Else some letters are missing and nobody knows which."""
    letters.add([LETTER])
    letters._file.connection.execute("PRAGMA max_page_count = 12")
    with pytest.raises(AppendFailed, match="full"):
        letters.add([replace(LETTER, offset=n, value=b"x" * 10_000) for n in range(50, 80)])
    assert len(kept(letters)) == 1
    assert letters.counts() == {"label": 1}


def test_a_failing_fsync_is_not_tried_again(letters: DeadLetters) -> None:
    """Else a disk that lost letters says at the second try that it has them."""
    failure = sqlite3.OperationalError("disk I/O error")
    failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(DiskUnreliable), letters._file.transaction("a letter"):
        raise failure
    failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    with pytest.raises(AppendFailed), letters._file.transaction("a letter"):
        raise failure


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """Else a wrong path is a traceback out of SQLite."""
    (tmp_path / "text").write_text("no database at all, but a text of more than a hundred bytes. " * 20)
    with pytest.raises(LogUnreadable, match="text"):
        DeadLetters(tmp_path / "text")
    with pytest.raises(SourceUnavailable, match="text"):
        DeadLetters(tmp_path / "text" / "below")


def test_a_file_of_the_schema_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """Else an upgrade loses the dead letters, or counts them anew."""
    old = sqlite3.connect(tmp_path / "old.sqlite")
    old.executescript(SCHEMA_BEFORE)
    old.close()
    letters = DeadLetters(tmp_path / "old.sqlite", keep=2, forward=True)
    (found,) = letters.find()
    assert found.letter == replace(LETTER, detail="why", refused_at=0)
    assert (found.id, found.forwarding, found.redrive) == (7, "off", "none")
    assert letters.counts() == {"label": 12}
    assert letters.add([found.letter]) == 0
    assert letters.add([replace(LETTER, offset=n) for n in (42, 43)]) == 2
    assert [letter.offset for letter in kept(letters)] == [42, 43], "what was kept before counts as kept"
    letters.close()


def test_a_file_of_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """Else a step back to an older Headrace damages what the newer one wrote."""
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(LogUnreadable, match=r"schema 9.*update Headrace"):
        DeadLetters(tmp_path / "newer.sqlite")


def test_letters_are_found_by_what_an_operator_asks_for(letters: DeadLetters) -> None:
    """Else `headrace dead-letters list` shows others than those that were meant."""
    letters.add([replace(LETTER, offset=n, reason="malformed" if n % 2 else "label") for n in range(5)])
    assert [each.letter.offset for each in letters.find(Filter(reason="malformed"))] == [1, 3]
    assert [each.letter.offset for each in letters.find(limit=2, newest=True)] == [4, 3]
    assert letters.find_ids(Filter(ids=[2, 4, 77])) == [2, 4]
    letters.redrives.begin([2])
    assert letters.find_ids(Filter(redrive="none"), limit=2) == [1, 3]
    assert letters.find_ids(Filter(redrive="begun")) == [2]


def test_what_was_refused_beyond_a_position_is_known(letters: DeadLetters) -> None:
    """Else a restart with other settings learns what was refused, and a redrive teaches it a second time."""
    letters.add([replace(LETTER, partition=p, offset=o, whole=o == 9) for p, o in ((0, 4), (0, 9), (1, 2))])
    found = letters.known("events", {0: Position(5)})
    assert [(each.partition, each.offset, each.event, each.whole) for each in found] == [
        (0, 9, 2, True),
        (1, 2, 2, False),
    ]
    assert letters.known("others", {}) == []


def test_a_pause_lasts_until_it_is_ended(letters: DeadLetters, path: Path) -> None:
    """Else a restart eats on, or a pause forgets how far recovery may read."""
    assert letters.pauses.current() is None
    letters.pauses.begin("dead_letters", "too many", {0: Position(7), 2: Position(3, 1)})
    letters.pauses.begin("other", "a second one", {})
    other = DeadLetters(path)
    found = other.pauses.current()
    assert found is not None
    assert (found.reason, found.detail, found.since) == ("dead_letters", "too many", 99.0)
    assert found.positions == {0: Position(7), 2: Position(3, 1)}
    ended = other.pauses.end()
    assert ended == found
    assert other.pauses.end() is None
    assert letters.pauses.current() is None
    other.close()
