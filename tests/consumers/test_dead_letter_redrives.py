"""Letters are sent again once each, whatever is interrupted, and nobody is told otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.dead_letter_redrives import Redrive
from consumers.dead_letters import DeadLetters, Filter
from consumers.errors import AppendFailed, ConsumerError, SourceUnavailable
from consumers.log import LogSink, LogSource
from consumers.source import NewRecord, Record
from consumers.testing import ManualClock, MemorySink
from tests.consumers.test_dead_letters import LETTER
from tests.support.topics import read_rest


class Breaking(MemorySink):
    """A topic that says that it failed, and may have taken the records before it said so."""

    def __init__(self, error: ConsumerError, *, takes: bool) -> None:
        super().__init__()
        self._error = error
        self._takes = takes

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        if self._takes:
            super().append(records, idempotency_key)
        raise self._error


class Killed(BaseException):
    """What happens between an append and its mark."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000.0)


@pytest.fixture
def letters(tmp_path: Path, clock: ManualClock) -> Iterator[DeadLetters]:
    opened = DeadLetters(tmp_path / "letters.sqlite", clock=clock)
    opened.add([replace(LETTER, offset=n, value=str(n).encode()) for n in range(5)])
    yield opened
    opened.close()


def redrive(letters: DeadLetters, sink: MemorySink | LogSink, *, remembers: bool = False) -> Redrive:
    return Redrive(letters.redrives, sink, remembers)


def numbers(records: Sequence[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


def test_what_is_sent_again_is_what_was_refused(letters: DeadLetters) -> None:
    """Else the event that comes back is not the one that was refused, or cannot be told from a new one."""
    sink = MemorySink()
    assert redrive(letters, sink).run([2]) == 1
    (record,) = read_rest(sink.source)
    assert (record.value, record.key) == (b"1", b"k")
    assert list(record.headers) == [("a", b"\x00"), ("headrace-redriven", b"events/3/1/2")]


def test_each_letter_is_sent_again_once(letters: DeadLetters) -> None:
    """Else a second run of the command teaches everything twice."""
    sink = MemorySink()
    assert redrive(letters, sink).run([1, 2, 3]) == 3
    assert redrive(letters, sink).run([1, 2, 3, 4]) == 1
    assert redrive(letters, sink).run([1, 2], again=True) == 0
    assert numbers(read_rest(sink.source)) == [0, 1, 2, 3]
    assert letters.find_ids(Filter(redrive="done")) == [1, 2, 3, 4]


def test_what_was_surely_not_sent_is_as_before(letters: DeadLetters) -> None:
    """Else an unreachable broker leaves letters that an operator has to decide on one by one."""
    with pytest.raises(SourceUnavailable):
        redrive(letters, Breaking(SourceUnavailable("down"), takes=False)).run([1, 2])
    assert letters.find_ids(Filter(redrive="none")) == [1, 2, 3, 4, 5]


def test_what_may_have_been_sent_waits_for_an_operator(letters: DeadLetters) -> None:
    """Else a broker's timeout has events learned twice."""
    broken = Breaking(AppendFailed("timeout"), takes=True)
    with pytest.raises(AppendFailed):
        redrive(letters, broken).run([1, 2])
    sink = MemorySink()
    assert redrive(letters, sink).run([1, 2, 3]) == 1
    assert letters.find_ids(Filter(redrive="begun")) == [1, 2]
    assert redrive(letters, sink).repair(letters.find(Filter(redrive="begun"))) == 0, "Kafka cannot tell"
    assert redrive(letters, sink).run([1, 2], again=True) == 2
    assert numbers(read_rest(sink.source)) == [2, 0, 1]


@pytest.mark.parametrize("appended", [True, False], ids=["after the append", "before the append"])
def test_the_embedded_log_settles_what_was_interrupted(
    letters: DeadLetters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appended: bool
) -> None:
    """Else a redrive that was killed loses letters, or sends them twice."""
    log = LogSink(tmp_path / "events.sqlite")

    def die(*_: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        target: object = letters.redrives if appended else log
        patch.setattr(target, "finish" if appended else "append", die)
        with pytest.raises(Killed):
            redrive(letters, log, remembers=True).run([1, 2])
    begun = letters.find(Filter(redrive="begun"))
    assert [letter.id for letter in begun] == [1, 2]
    assert redrive(letters, log, remembers=True).repair(begun) == (0 if appended else 2)
    assert numbers(read_rest(LogSource(tmp_path / "events.sqlite"))) == [0, 1]
    assert letters.find_ids(Filter(redrive="done")) == [1, 2]
    log.close()


def test_what_was_interrupted_too_long_ago_is_not_settled_by_guessing(letters: DeadLetters, clock: ManualClock) -> None:
    """Else a key that the log has forgotten counts as one that it never had, and events are learned twice."""
    letters.redrives.begin([1])
    sink = MemorySink()
    clock.advance(90_000)
    assert redrive(letters, sink, remembers=True).repair(letters.find(Filter(redrive="begun"))) == 0
    assert read_rest(sink.source) == []
