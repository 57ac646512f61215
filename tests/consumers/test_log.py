"""What the embedded log promises beyond the contract: durability, many writers, exactly once by key, clear errors."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.errors import AppendFailed, LogReplaced, LogUnreadable, SourceUnavailable
from consumers.log import LogReader, LogSink, LogSource
from consumers.source import NewRecord, Position, StoredRecord
from tests.support.topics import numbered, read, read_rest, values

APPEND_FOR_EVER = """
import sys
from pathlib import Path
from consumers.log import LogSink
from consumers.source import NewRecord
name, sink = sys.argv[2], LogSink(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    sink.append([NewRecord(f"{name}:{number}:{part}".encode()) for part in range(3)])
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.sqlite"


def poll_for(reader: LogReader, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        reader.poll(10, 0.2)


@pytest.fixture
def sink(path: Path) -> Iterator[LogSink]:
    opened = LogSink(path)
    yield opened
    opened.close()


@pytest.fixture
def reader(path: Path) -> Iterator[LogReader]:
    opened = LogSource(path).open({})
    yield opened
    opened.close()


def appender(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    """Start a process that appends three records at a time and prints the number of each append it was promised."""
    command = [sys.executable, "-c", APPEND_FOR_EVER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_what_was_acknowledged_survives_sigkill(path: Path) -> None:
    """Else an event that was answered with 202 is gone after a crash."""
    process = appender(path, "a", 1_000_000)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(50)][-1]
    process.send_signal(signal.SIGKILL)
    acknowledged += len(process.stdout.read().splitlines())
    process.wait()
    process.stdout.close()
    got = [each.value for each in read_rest(LogSource(path))]
    # One more append may have reached the disk before it was acknowledged: whole, or not at all.
    assert len(got) in (3 * (acknowledged + 1), 3 * (acknowledged + 2))
    assert got == [f"a:{row // 3}:{row % 3}".encode() for row in range(len(got))]


def test_a_commit_waits_for_the_disk(sink: LogSink) -> None:
    """Else what was acknowledged does not survive the power, which no test here can cut."""
    settings = [sink._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_many_processes_write_at_once(path: Path) -> None:
    """Else two API workers lose each other's events."""
    processes = [appender(path, name, 60) for name in "abcd"]
    for process in processes:
        process.communicate(timeout=60)
    got = [(each.value or b"").decode().split(":") for each in read_rest(LogSource(path))]
    assert len(got) == 720
    for name in "abcd":
        assert [(int(n), int(part)) for who, n, part in got if who == name] == [
            (number, part) for number in range(60) for part in range(3)
        ]


def test_threads_share_transactions_and_each_learns_of_its_own(sink: LogSink, path: Path) -> None:
    """Else an answer to one request speaks of another one's events."""
    barrier = threading.Barrier(8)

    def append(thread: int) -> list[bool]:
        barrier.wait()
        return [sink.append(numbered(thread * 100 + n), f"key-{n % 50}") for n in range(100)]

    with ThreadPoolExecutor(8) as pool:
        appended = list(pool.map(append, range(8)))
    # Eight threads, each key twice a thread: one append for each of the fifty keys.
    assert sum(map(sum, appended)) == 50
    assert len(values(read_rest(LogSource(path)))) == 50


@pytest.fixture
def crowd(path: Path, sink: LogSink) -> Iterator[list["Future[bool]"]]:
    """Yield the appends of eight threads, of one record each, that had to wait for another process at first."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(8) as pool:
        appends = [pool.submit(sink.append, numbered(number)) for number in range(8)]
        # The first one is with SQLite, waiting.
        while len(sink._waiting) < 7:
            time.sleep(0.001)
        other.execute("ROLLBACK")
        yield appends
    other.close()


def test_appends_that_come_together_share_a_wait_for_the_disk(
    path: Path, sink: LogSink, request: pytest.FixtureRequest
) -> None:
    """Else many clients wait for the disk one after the other."""
    statements: list[str] = []
    sink._connection.set_trace_callback(statements.append)
    appends: list[Future[bool]] = request.getfixturevalue("crowd")
    assert all(append.result(30.0) for append in appends)
    assert statements.count("COMMIT") == 2
    assert sorted(values(read_rest(LogSource(path)))) == list(range(8))


def test_an_error_reaches_all_who_shared_the_transaction(
    path: Path, sink: LogSink, request: pytest.FixtureRequest
) -> None:
    """Else an event is acknowledged that another request's failure has taken back."""
    refuse(path, 5)
    appends: list[Future[bool]] = request.getfixturevalue("crowd")
    acknowledged = [number for number, append in enumerate(appends) if append.exception(30.0) is None]
    assert sorted(values(read_rest(LogSource(path)))) == acknowledged
    assert 5 not in acknowledged
    assert sink.append(numbered(9))


def refuse(path: Path, number: int) -> None:
    """Have the file refuse a record as a full disk would."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON records WHEN new.value = x'{str(number).encode().hex()}' "
            "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
    connection.close()


def test_a_key_is_remembered_in_the_same_transaction(path: Path, sink: LogSink) -> None:
    """Else a retry after a crash doubles events."""
    assert sink.append(numbered(1, 2), "key")
    assert not sink.append(numbered(1, 2), "key")
    sink.close()
    again = LogSink(path)
    assert not again.append(numbered(1, 2), "key")
    assert again.append(numbered(3), "other key")
    again.close()
    assert values(read_rest(LogSource(path))) == [1, 2, 3]


def test_keys_are_forgotten_after_their_time(path: Path) -> None:
    """Else the log grows by its keys for ever."""
    sink = LogSink(path, remember_keys=0.05)
    assert sink.append(numbered(1), "key")
    time.sleep(0.1)
    assert sink.append(numbered(2), "key")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM idempotency").fetchone() == (1,)
    connection.close()
    sink.close()


def test_a_failed_append_leaves_nothing(path: Path, sink: LogSink) -> None:
    """Else half of a request is learned, and its retry doubles that half."""
    sink.append(numbered(1))
    refuse(path, 7)
    with pytest.raises(AppendFailed, match="disk"):
        sink.append(numbered(5, 6, 7, 8), "key")
    assert sink.append(numbered(2), "key")
    assert values(read_rest(LogSource(path))) == [1, 2]


def test_a_full_disk_is_an_error_that_says_so(path: Path, sink: LogSink) -> None:
    """Else the disk's end is a traceback, or silence."""
    sink.append(numbered(1))
    sink._connection.execute("PRAGMA max_page_count = 30")
    with pytest.raises(AppendFailed, match="full"):
        sink.append([NewRecord(b"x" * 1_000_000)])
    sink._connection.execute("PRAGMA max_page_count = 1000000")
    assert sink.append(numbered(2))
    assert values(read_rest(LogSource(path))) == [1, 2]


def test_a_file_that_is_no_log_is_named(path: Path) -> None:
    """Else a wrong path is a traceback out of SQLite."""
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but a text of more than a hundred bytes. " * 20)
    for opener in (lambda: LogSource(path).open({}), lambda: LogSink(path)):
        with pytest.raises(LogUnreadable, match=r"events\.sqlite"):
            opener()


def test_a_damaged_page_is_an_error(path: Path, sink: LogSink) -> None:
    """Else damage of the disk goes unnoticed, or kills with a traceback."""
    sink.append([NewRecord(b"x" * 3_000)] * 50)
    sink.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    reader = LogSource(path).open({})
    with pytest.raises(LogUnreadable):
        read(reader, 50)
    reader.close()


def test_a_log_of_a_newer_version_is_refused(path: Path, sink: LogSink) -> None:
    """Else an older version misreads what a newer one wrote."""
    sink.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogUnreadable, match="99"):
        LogSource(path).open({})


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Else missing rights are a traceback."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceUnavailable, match="writable"):
        LogSink(tmp_path / "file" / "events.sqlite")


def test_a_lock_that_does_not_go_away_is_an_error(path: Path, sink: LogSink) -> None:
    """Else a stuck process blocks all appends for ever."""
    hasty = LogSink(path, timeout=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SourceUnavailable, match="held"):
        hasty.append(numbered(1))
    other.execute("ROLLBACK")
    other.close()
    assert hasty.append(numbered(1))
    hasty.close()


def test_a_closed_sink_refuses(sink: LogSink) -> None:
    """Else an append after shutdown is acknowledged and lost."""
    sink.close()
    with pytest.raises(SourceUnavailable, match="closed"):
        sink.append(numbered(1))


def test_a_log_made_again_has_another_identity(path: Path, sink: LogSink) -> None:
    """Else positions of a deleted log are taken for positions in the new one."""
    first = LogSource(path).open({})
    first.close()
    sink.close()
    for file in path.parent.iterdir():
        file.unlink()
    second = LogSource(path).open({})
    second.close()
    assert first.identity != second.identity
    with pytest.raises(LogReplaced):
        LogSource(path).open({0: Position(0)}, first.identity)


def test_a_reader_does_not_wait_for_a_log_that_is_gone(path: Path, sink: LogSink, reader: LogReader) -> None:
    """Else a trainer goes on reading a deleted file, to which nothing will ever be appended, and says it is idle."""
    sink.append(numbered(1))
    assert len(reader.poll(10, 1.0)) == 1
    sink.close()
    for file in path.parent.iterdir():
        file.unlink()
    LogSink(path).close()
    with pytest.raises(LogReplaced, match="--from earliest"):
        poll_for(reader, 30)


def test_a_sink_whose_log_was_deleted_appends_to_the_one_that_is_there_now(path: Path, sink: LogSink) -> None:
    """Else events that were acknowledged are in a deleted file, where no reader will ever find them."""
    assert sink.append(numbered(1))
    for file in path.parent.iterdir():
        file.unlink()
    assert sink.append(numbered(2))
    reader = LogSource(path).open({})
    assert values(reader.poll(10, 1.0)) == [2]
    reader.close()


def test_a_poll_is_bounded_in_bytes(sink: LogSink, reader: LogReader) -> None:
    """Else a run of large messages is taken into memory at once."""
    sink.append([NewRecord(b"x" * 6_000_000)] * 5)
    sizes = [len(reader.poll(1_000, 1.0)) for _ in range(3)]
    assert sizes == [2, 2, 1]


def test_a_record_larger_than_a_poll_comes_alone(sink: LogSink, reader: LogReader) -> None:
    """Else one huge message stops the stream."""
    sink.append([NewRecord(b"x" * 20_000_000), NewRecord(b"1")])
    assert [len(reader.poll(1_000, 1.0)) for _ in range(2)] == [1, 1]


def test_an_append_of_this_process_wakes_a_waiting_poll(sink: LogSink, reader: LogReader) -> None:
    """Else each event waits for the next look."""
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(reader.poll, 10, 60.0)
        sink.append(numbered(1))
        assert values(polled.result(30.0)) == [1]


def test_a_poll_sees_what_another_process_appends(path: Path, reader: LogReader) -> None:
    """Else the trainer never learns of what an API process took in."""
    with appender(path, "a", 1) as process:
        assert [each.value for each in read(reader, 3)] == [b"a:0:0", b"a:0:1", b"a:0:2"]
        process.communicate()


bytes_of_any_kind = st.one_of(
    st.binary(max_size=20), st.text(max_size=10).map(str.encode), st.just(b"\x00"), st.just(b"\x00\xff\x00")
)
records = st.lists(
    st.builds(
        NewRecord,
        bytes_of_any_kind,
        st.none() | bytes_of_any_kind,
        st.lists(st.tuples(st.text(max_size=5), bytes_of_any_kind), max_size=2).map(tuple),
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(appends=st.lists(records, max_size=4), at_once=st.integers(1, 10))
def test_every_byte_comes_back(
    tmp_path_factory: pytest.TempPathFactory, appends: list[list[NewRecord]], at_once: int
) -> None:
    """Else laying values end to end changes one of them: NUL, invalid UTF-8 and empty values included."""
    path = tmp_path_factory.mktemp("log") / "events.sqlite"
    sink = LogSink(path)
    for each in appends:
        sink.append(each)
    sink.close()
    sent = [record for each in appends for record in each]
    reader = LogSource(path).open({0: Position(0)})
    got: list[StoredRecord] = []
    while polled := reader.poll(at_once, 0.0):
        got += polled
    reader.close()
    assert [(each.offset, each.value, each.key, each.headers) for each in got] == [
        (offset, *record) for offset, record in enumerate(sent)
    ]
