"""What every source and every sink promises, whatever its transport. A new one is added to `topic` and is tested."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.errors import LogReplaced, PositionLost
from consumers.source import NewRecord, Position, Reader, Sink
from tests.support.topics import KafkaTopic, LogTopic, MemoryTopic, Topic, numbered, read, read_all, values


@pytest.fixture(params=["memory", "log", "kafka", "librdkafka"])
def topic(request: pytest.FixtureRequest, tmp_path: Path) -> Topic:
    match request.param:
        case "memory":
            return MemoryTopic()
        case "log":
            return LogTopic(tmp_path)
        case "kafka":
            return KafkaTopic(request.getfixturevalue("kafka_broker"))
        case _:
            return KafkaTopic(request.getfixturevalue("kafka_broker"), client="librdkafka")


@pytest.fixture
def reader(topic: Topic) -> Iterator[Reader]:
    """Yield a reader of the empty topic."""
    opened = topic.source.open({})
    yield opened
    opened.close()


@pytest.fixture
def sink(topic: Topic) -> Iterator[Sink]:
    opened = topic.sink()
    yield opened
    opened.close()


def test_records_of_a_partition_come_in_order_and_whole(topic: Topic) -> None:
    """Else events are learned out of order, or changed on the way."""
    before = int(time.time() * 1000)
    sent = [
        NewRecord(b"0"),
        NewRecord(b"\x00\xff\x80", key=b"key"),
        NewRecord(b"", headers=(("content-type", b"x"), ("content-type", b"\xfe\x00"))),
        NewRecord("Ø".encode() * 100_000, key=b"", headers=(("ß", b""),)),
    ]
    topic.append(0, sent)
    got = read_all(topic.source, {}, 4)
    assert [(each.value, each.key, tuple(each.headers)) for each in got] == [tuple(each) for each in _as_read(sent)]
    assert [each.offset for each in got] == [0, 1, 2, 3]
    assert {each.partition for each in got} == {0}
    assert isinstance(topic, MemoryTopic) or all(before - 1000 <= each.timestamp < before + 60_000 for each in got)


def _as_read(sent: list[NewRecord]) -> list[tuple[bytes, bytes | None, tuple[tuple[str, bytes], ...]]]:
    return [(each.value, each.key, each.headers) for each in sent]


def test_every_partition_is_read(topic: Topic) -> None:
    """Else part of the stream is never learned."""
    for partition in range(topic.partitions):
        topic.append(partition, numbered(*range(partition * 100, partition * 100 + 50)))
    got = read_all(topic.source, {}, 50 * topic.partitions)
    for partition in range(topic.partitions):
        assert values(got, partition) == list(range(partition * 100, partition * 100 + 50))


@pytest.mark.parametrize("at_once", [1, 7, 1_000])
def test_a_resume_from_any_position_yields_exactly_the_rest(topic: Topic, at_once: int) -> None:
    """Else a restart loses events or doubles them."""
    for partition in range(topic.partitions):
        topic.append(partition, numbered(*range(20)))
    reader = topic.source.open({})
    first = read(reader, 11, at_once=at_once)
    reader.close()
    positions = {each.partition: Position(each.offset + 1) for each in first}
    rest = read_all(topic.source, positions, 20 * topic.partitions - 11)
    for partition in range(topic.partitions):
        assert values(first, partition) + values(rest, partition) == list(range(20))


def test_no_poll_returns_more_than_was_asked_for(topic: Topic, reader: Reader) -> None:
    """Else memory is not bounded by what a trainer asks for."""
    topic.append(0, numbered(*range(10)))
    got = [reader.poll(3, 30.0) for _ in range(3)]
    assert all(0 < len(each) <= 3 for each in got)


def test_an_idle_poll_returns_nothing_within_its_timeout(reader: Reader) -> None:
    """Else a trainer on a quiet topic cannot do its housekeeping."""
    reader.poll(10, 0.5)
    for timeout in (0.0, 0.05):
        started = time.monotonic()
        assert list(reader.poll(10, timeout)) == []
        assert time.monotonic() - started < timeout + 5.0


def test_what_is_appended_later_comes_later(topic: Topic, reader: Reader) -> None:
    """Else a reader that has caught up never learns of new events."""
    assert list(reader.poll(10, 0.05)) == []
    topic.append(0, numbered(1, 2))
    assert values(read(reader, 2)) == [1, 2]
    topic.append(0, numbered(3))
    assert values(read(reader, 1)) == [3]


def test_ends_follow_the_log(topic: Topic, reader: Reader) -> None:
    """Else lag is reported wrongly."""
    topic.append(0, numbered(1, 2, 3))
    read(reader, 3)
    give_up = time.monotonic() + 30.0
    while reader.ends().get(0) != 3 and time.monotonic() < give_up:
        reader.poll(10, 0.05)
    assert reader.ends()[0] == 3


def test_offsets_are_never_used_again(topic: Topic) -> None:
    """Else a position in a checkpoint comes to mean another event."""
    topic.append(0, numbered(1, 2, 3))
    topic.forget(0, 3)
    topic.append(0, numbered(4))
    (record,) = read_all(topic.source, {}, 1)
    assert (record.offset, record.value) == (3, b"4")


@pytest.mark.parametrize("offset", [0, 1, 7])
def test_a_position_that_is_not_held_is_an_error(topic: Topic, offset: int) -> None:
    """Else events between two positions are lost in silence."""
    topic.append(0, numbered(*range(5)))
    topic.forget(0, 2)
    with pytest.raises(PositionLost):
        topic.source.open({0: Position(offset)})


@pytest.mark.parametrize("offset", [2, 5])
def test_the_first_and_the_last_position_are_held(topic: Topic, offset: int) -> None:
    """Else a trainer that has caught up, or fallen back to the edge, cannot restart."""
    topic.append(0, numbered(*range(5)))
    topic.forget(0, 2)
    got = read_all(topic.source, {0: Position(offset)}, 5 - offset)
    assert values(got) == list(range(offset, 5))


def test_a_position_in_a_partition_that_does_not_exist_is_an_error(topic: Topic) -> None:
    """Else a topic that was made anew with fewer partitions is read as if it were the old one."""
    topic.append(0, numbered(1))
    with pytest.raises(PositionLost):
        topic.source.open({topic.partitions: Position(5)})


@pytest.mark.parametrize("before", [4, 5])
def test_what_retention_took_from_under_a_reader_is_an_error(topic: Topic, before: int) -> None:
    """Else a trainer that lags behind retention loses events in silence. What was fetched ahead may come."""
    topic.append(0, numbered(*range(5)))
    reader = topic.source.open({0: Position(1)})
    topic.forget(0, before)
    try:
        assert values(read(reader, 4)) == [1, 2, 3, 4]
    except PositionLost:
        pass
    else:
        assert isinstance(topic, KafkaTopic)
        assert topic.options.client == "librdkafka"
    reader.close()


def test_commit_takes_anything_and_never_raises(topic: Topic, reader: Reader) -> None:
    """Else an advisory commit stops the learning."""
    topic.append(0, numbered(1))
    read(reader, 1)
    reader.commit({0: Position(1)})
    reader.commit({})
    reader.commit({0: Position(1, 3), 99: Position(5)})
    reader.close()
    reader.commit({0: Position(1)})


def test_a_reader_and_a_sink_may_be_closed_twice(topic: Topic, reader: Reader, sink: Sink) -> None:
    """Else a shutdown that meets an error on its way raises another one."""
    sink.append(numbered(1))
    for _ in range(2):
        reader.close()
        sink.close()


def test_two_readers_do_not_disturb_each_other(topic: Topic) -> None:
    """Else a standby or a second model steals events."""
    topic.append(0, numbered(1, 2, 3))
    readers = [topic.source.open({}), topic.source.open({0: Position(1)})]
    assert [values(read(reader, 3 - number)) for number, reader in enumerate(readers)] == [[1, 2, 3], [2, 3]]
    for reader in readers:
        reader.close()


def test_the_log_has_one_identity(topic: Topic, reader: Reader) -> None:
    """Else a restart on the same log takes it for another one."""
    again = topic.source.open({}, reader.identity)
    assert again.identity == reader.identity != ""
    again.close()


def test_positions_of_another_log_are_refused(topic: Topic) -> None:
    """Else offsets of a log that was deleted are taken for offsets of the one that has its name now."""
    topic.append(0, numbered(1, 2, 3))
    with pytest.raises(LogReplaced):
        topic.source.open({0: Position(2)}, "another")
    with pytest.raises(LogReplaced):
        topic.source.open({0: Position(99)}, "another")


def test_a_time_leads_to_the_first_record_from_then_on(topic: Topic) -> None:
    """Else learning again from yesterday begins somewhere else."""
    assert topic.source.positions_at(0) == {partition: Position(0) for partition in range(topic.partitions)}
    topic.append(0, numbered(1, 2, 3))
    times = [each.timestamp for each in read_all(topic.source, {}, 3)]
    assert topic.source.positions_at(0)[0] == Position(0)
    assert topic.source.positions_at(times[2])[0] == Position(times.index(times[2]))
    assert topic.source.positions_at(times[2] + 1)[0] == Position(3)


def test_what_a_sink_appended_can_be_read(topic: Topic, sink: Sink) -> None:
    """Else an event that was acknowledged is never learned."""
    records = [NewRecord(str(number).encode(), key=b"same", headers=(("a", b"b"),)) for number in range(50)]
    assert sink.append(records)
    assert sink.append([])
    got = read_all(topic.source, {}, 50)
    assert values(got) == list(range(50))
    assert {(each.key, tuple(each.headers)) for each in got} == {(b"same", (("a", b"b"),))}
