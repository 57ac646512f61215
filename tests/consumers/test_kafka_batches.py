"""Batches cut into columns hold what the client reads of them record by record, wherever a poll cuts them."""

from typing import Any

import kafka
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from consumers.kafka_batches import PartitionBatches, read_in_batches
from consumers.records import Records

PLACE = TopicPartition("events", 3)
TIME = 1_763_683_200_000

Sent = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

_BYTES = st.none() | st.binary(max_size=300)
_RECORDS = st.lists(
    st.tuples(
        st.integers(-(10**10), 10**10),
        _BYTES,
        _BYTES,
        st.lists(st.tuples(st.text(max_size=3), _BYTES), max_size=2),
    ),
    min_size=1,
    max_size=5,
)


def content(batches: list[list[Sent]], *, codec: int = 0, magic: int = 2, gap: int = 0, first: int = 100) -> bytes:
    """Return batches as a broker hands them out, with a gap in the offsets after each."""
    found, offset = b"", first
    for batch in batches:
        builder = MemoryRecordsBuilder(magic=magic, compression_type=codec, batch_size=1 << 24, offset=offset)
        for time, key, value, headers in batch:
            builder.append(timestamp=TIME + time, key=key, value=value, headers=headers)
        builder.close()
        found += bytes(builder.buffer())
        offset += len(batch) + gap
    return found


def numbered(count: int) -> list[Sent]:
    return [(number, None, b"%d" % number, []) for number in range(count)]


def opened(kind: Any, data: bytes, start: int, **others: Any) -> Any:
    return kind(start, PLACE, MemoryRecords(data), isolation_level=IsolationLevel.READ_COMMITTED, **others)


def drained(part: Any, at_once: int) -> list[tuple[list[Any], int]]:
    """Return what each take gave, and where the next fetch would begin."""
    found = []
    while part:
        taken = part.take(at_once)
        records = list(taken) if isinstance(taken, list) else [each for piece, _ in taken for each in piece]
        assert len(records) == len(taken) <= at_once
        found.append(([_told(each) for each in records], part.next_fetch_offset))
    return found


def _told(record: Any) -> tuple[Any, ...]:
    time = -1 if record.timestamp is None else record.timestamp
    return record.partition, record.offset, time, record.key, record.value, list(record.headers)


@given(st.lists(_RECORDS, min_size=1, max_size=4), st.integers(0, 4), st.integers(0, 3), st.integers(1, 9), st.data())
@settings(max_examples=60, deadline=None)
def test_columns_hold_what_the_client_reads(
    batches: list[list[Sent]], codec: int, gap: int, at_once: int, data: st.DataObject
) -> None:
    """Else events are lost, doubled, altered, or read from another offset on after a poll."""
    raw = content(batches, codec=codec, gap=gap)
    start = data.draw(st.integers(100, 100 + sum(map(len, batches))))
    expected = drained(opened(Fetcher.PartitionRecords, raw, start), at_once)
    got = drained(opened(PartitionBatches, raw, start), at_once)
    assert got == expected


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_read_the_clients_way(magic: int) -> None:
    """Else a topic that was written long ago cannot be read, or its offsets are wrong."""
    raw = content([numbered(3), numbered(2)], magic=magic)
    assert drained(opened(PartitionBatches, raw, 101), 2) == drained(opened(Fetcher.PartitionRecords, raw, 101), 2)


def test_what_comes_before_a_broken_record_is_handed_out_before_the_error() -> None:
    """Else one broken record costs those before it, or goes unnoticed."""
    whole = content([numbered(2), numbered(2)])
    broken = bytearray(whole)
    broken[-1] += 2  # headers that are not there
    part = opened(PartitionBatches, bytes(broken), 100, check_crcs=False)
    taken = part.take(10)
    assert [each.value for piece, _ in taken for each in piece] == [b"0", b"1", b"0"]
    with pytest.raises(CorruptRecordError):
        part.take(10)


def test_a_batch_that_was_altered_on_its_way_is_not_read() -> None:
    """Else what a disk or a network has altered is learned."""
    altered = bytearray(content([numbered(2)]))
    altered[-2] ^= 1
    with pytest.raises(CorruptRecordError, match="crc"):
        opened(PartitionBatches, bytes(altered), 100).take(10)


def test_a_client_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a new version of the client, whose inner life is another one, is read wrongly."""

    class Consumer:
        class _fetcher:  # noqa: N801 -- as the client calls it
            PartitionRecords = Fetcher.PartitionRecords

    read_in_batches(Consumer)
    assert Consumer._fetcher.PartitionRecords is PartitionBatches
    Consumer._fetcher.PartitionRecords = Fetcher.PartitionRecords
    monkeypatch.setattr(kafka, "__version__", "3.1.0")
    read_in_batches(Consumer)
    assert Consumer._fetcher.PartitionRecords is Fetcher.PartitionRecords


def test_slices_and_joins_of_columns_are_those_of_their_records() -> None:
    """Else pieces of a poll carry keys and headers of other records."""
    plain = opened(PartitionBatches, content([numbered(3)]), 100).take()
    rich = opened(PartitionBatches, content([[(0, b"key", b"value", [("name", b"x")])]]), 100).take()
    parts = [piece for taken in (plain, rich) for piece, _ in taken]
    joined = Records.concatenate(parts)
    expected = [each for part in parts for each in part]
    assert list(joined) == expected
    assert list(joined[1:4]) == expected[1:4]
    assert list(Records.of(expected)[2:]) == expected[2:]
    assert list(Records.concatenate([])) == []
