"""The source in memory breaks and ends exactly where it was told to."""

import pytest

from consumers.errors import SourceUnavailable
from consumers.source import Position
from consumers.testing import ABORT, EOF, Aborted, ManualClock, Mark, MemorySink, MemorySource
from tests.support.topics import numbered, read_rest, values


def test_an_abort_breaks_at_its_record_once() -> None:
    """Else a test of a crash crashes somewhere else, or for ever."""
    source = MemorySource({0: [b"1", b"2", ABORT, b"3"]})
    reader = source.open({})
    assert values(reader.poll(10, 0.0)) == [1, 2]
    with pytest.raises(Aborted):
        reader.poll(10, 0.0)
    assert values(reader.poll(10, 0.0)) == [3]
    assert values(read_rest(source, {0: Position(1)})) == [2, 3]


def test_an_abort_does_not_take_other_partitions_records_along() -> None:
    """Else a test loses events that were never read."""
    reader = MemorySource({0: [b"1"], 1: [ABORT, b"2"], 2: [b"3"]}).open({})
    assert values(reader.poll(10, 0.0)) == [1, 3]
    with pytest.raises(Aborted):
        reader.poll(10, 0.0)
    assert values(reader.poll(10, 0.0)) == [2]


def test_an_error_of_ones_own_is_raised() -> None:
    """Else only one kind of failure can be tested."""
    reader = MemorySource({0: [Mark(SourceUnavailable("away")), b"1"]}).open({})
    with pytest.raises(SourceUnavailable, match="away"):
        reader.poll(10, 0.0)
    assert values(reader.poll(10, 0.0)) == [1]


def test_an_end_holds_until_the_source_is_opened_again() -> None:
    """Else a test cannot stop a trainer at an exact record and go on."""
    source = MemorySource({0: [b"1", EOF, b"2", EOF, b"3"]})
    first = source.open({})
    assert values(first.poll(10, 0.0)) == [1]
    assert list(first.poll(10, 0.0)) == []
    assert source.ends() == {0: 1}
    second = source.open({0: Position(1)})
    assert values(second.poll(10, 0.0)) == [2]
    assert list(second.poll(10, 0.0)) == []
    assert second.ends() == {0: 2}
    assert values(source.open({0: Position(2)}).poll(10, 0.0)) == [3]


def test_a_partition_may_appear_later() -> None:
    """Else a partition added to a topic cannot be tested."""
    source = MemorySource({0: [b"1"]})
    reader = source.open({})
    assert values(reader.poll(10, 0.0)) == [1]
    source.append(5, b"2")
    assert [(each.partition, each.value) for each in reader.poll(10, 0.0)] == [(5, b"2")]


def test_a_sink_in_memory_remembers_keys() -> None:
    """Else a test of retries passes although they double events."""
    sink = MemorySink()
    assert sink.append(numbered(1), "key")
    assert not sink.append(numbered(1), "key")
    assert sink.append(numbered(2))
    assert values(read_rest(sink.source)) == [1, 2]


def test_a_manual_clock_moves_when_told() -> None:
    """Else a test of delays depends on the machine."""
    clock = ManualClock(5.0)
    clock.advance(0.25)
    assert (clock(), clock()) == (5.25, 5.25)
