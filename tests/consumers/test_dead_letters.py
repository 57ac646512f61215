"""Dead letters are kept once, counted for good, and read back as they were."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.dead_letters import DeadLetter, DeadLetters
from consumers.errors import AppendFailed, LogUnreadable, SourceUnavailable

LETTER = DeadLetter(
    "events", 3, 41, 2, "label", "'maybe' is no class of a regression", b"k", b"\x00\xff", (("a", b"\x00"),), 1_763
)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = DeadLetters(tmp_path / "model" / "dead_letters.sqlite", keep=5)
    yield opened
    opened.close()


def test_a_letter_is_read_back_as_it_was(letters: DeadLetters) -> None:
    """Else an operator looks at another event than the one that failed."""
    bare = replace(LETTER, offset=42, key=None, value=None, headers=())
    assert letters.add([LETTER, bare]) == 2
    assert letters.list(10) == [LETTER, bare]
    assert letters.list(1, 1) == [bare]


def test_a_replay_adds_nothing(letters: DeadLetters, tmp_path: Path) -> None:
    """Else each restart doubles the dead letters and their metric."""
    assert letters.add([LETTER, replace(LETTER, index=3)]) == 2
    letters.close()
    letters.close()
    again = DeadLetters(tmp_path / "model" / "dead_letters.sqlite")
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
    assert [letter.offset for letter in letters.list(10)] == [3, 4, 5, 6, 7]
    assert letters.counts() == {"label": 8}


def test_a_full_disk_keeps_none_of_a_call(letters: DeadLetters) -> None:
    """Else some letters are missing and nobody knows which."""
    letters.add([LETTER])
    letters._connection.execute("PRAGMA max_page_count = 10")
    with pytest.raises(AppendFailed, match="full"):
        letters.add([replace(LETTER, offset=n, value=b"x" * 10_000) for n in range(50, 80)])
    assert letters.list(10) == [LETTER]
    assert letters.counts() == {"label": 1}


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """Else a wrong path is a traceback out of SQLite."""
    (tmp_path / "text").write_text("no database at all, but a text of more than a hundred bytes. " * 20)
    with pytest.raises(LogUnreadable, match="text"):
        DeadLetters(tmp_path / "text")
    with pytest.raises(SourceUnavailable, match="text"):
        DeadLetters(tmp_path / "text" / "below")
