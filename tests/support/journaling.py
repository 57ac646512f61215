"""Entries to journal, for tests."""

from collections.abc import Sequence
from pathlib import Path

from consumers.source import Position
from consumers.track import Run
from service.journal import Entry, Journal, JournalTail, Update, read_journal


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
