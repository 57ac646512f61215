"""What the embedded log forgets: the oldest, when too old or too much, and never what somebody may still ask for."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumers.errors import LogUnreadable
from consumers.log import LogRetention, LogSink, LogSource
from consumers.source import NewRecord, Position
from tests.support.topics import numbered, read_rest, values

Retain = Callable[..., LogRetention]

# Older than any record, whatever the clock's resolution.
AT_ONCE = -60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def sink(path: Path) -> Iterator[LogSink]:
    opened = LogSink(path)
    yield opened
    opened.close()


@pytest.fixture
def retain(path: Path) -> Iterator[Retain]:
    """Return a function that makes retentions of the log, each closed in the end."""
    made: list[LogRetention] = []

    def make(reader: str = "default", max_age: float | None = None, max_bytes: int | None = None) -> LogRetention:
        made.append(LogRetention(path, reader=reader, max_age=max_age, max_bytes=max_bytes))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.close()


def test_old_records_go_and_young_ones_stay(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else the log keeps everything, or too little."""
    sink.append(numbered(*range(5_000)))
    time.sleep(0.3)
    sink.append(numbered(5_000, 5_001))
    assert retain(max_age=0.2).prune(5_002) == 5_000
    assert values(read_rest(LogSource(path))) == [5_000, 5_001]


def test_nothing_at_or_after_the_floor_goes(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else the oldest kept checkpoint can no longer be resumed from."""
    sink.append(numbered(*range(10)))
    assert retain(max_age=AT_ONCE, max_bytes=1).prune(4) == 4
    assert values(read_rest(LogSource(path), {0: Position(4)})) == [4, 5, 6, 7, 8, 9]


def test_the_lowest_floor_of_all_readers_counts(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else one model's retention takes away what another model has not learned."""
    sink.append(numbered(*range(10)))
    one, other = retain("one", max_age=AT_ONCE), retain("other", max_age=AT_ONCE)
    assert one.prune(3) == 3
    assert other.prune(10) == 0
    other.forget("one")
    assert other.prune(10) == 7


def test_a_floor_never_reaches_beyond_what_is_there(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else records that are appended later are deleted unread."""
    sink.append(numbered(1))
    retention = retain(max_age=AT_ONCE)
    retention.prune(100)
    sink.append(numbered(2))
    assert retention.prune(1) == 0
    assert values(read_rest(LogSource(path))) == [2]


def test_the_file_is_kept_to_its_size_and_shrinks(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else retention by size frees nothing, or empties the log."""
    for _ in range(20):
        sink.append([NewRecord(b"x" * 1_000)] * 500)
    deleted = retain(max_bytes=3_000_000).prune(10_000)
    kept = len(read_rest(LogSource(path)))
    assert deleted + kept == 10_000
    assert 2_000 < kept < 3_000
    sink.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert path.stat().st_size < 3_300_000


def test_a_clock_set_back_takes_no_young_record_along(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else records are deleted out of the middle, or before their time."""
    sink.append(numbered(0, 1, 2))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET timestamp = 0 WHERE id IN (1, 3)")
    connection.close()
    assert retain(max_age=3600.0).prune(3) == 1
    assert values(read_rest(LogSource(path))) == [1, 2]


def test_without_bounds_nothing_goes(path: Path, sink: LogSink, retain: Retain) -> None:
    """Else a log that was to keep everything does not."""
    sink.append(numbered(0, 1, 2))
    assert retain().prune(3) == 0


def test_a_damaged_log_is_an_error(path: Path) -> None:
    """Else pruning a damaged log is a traceback."""
    path.write_bytes(b"no database at all, but a text of more than a hundred bytes. " * 20)
    with pytest.raises(LogUnreadable):
        LogRetention(path, reader="default")
