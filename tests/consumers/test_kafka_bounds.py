"""A small compressed batch never becomes a large one: it costs one dead letter, and what stands around it is read."""

from collections.abc import Sequence
from typing import Any

import pytest
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from consumers import kafka_bounds
from consumers.source import StoredRecord
from service.events import EventDecoder
from service.settings.event_options import EventOptions

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch become a megabyte."""
    kafka_bounds.bound()
    monkeypatch.setattr(kafka_bounds, "MAXIMUM_BYTES", 1 << 20)


def batch(codec: int, values: Sequence[bytes], offset: int = 7) -> bytes:
    """Return a batch as a broker hands it out."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 26, offset=offset)
    for value in values:
        builder.append(timestamp=1_763_683_200_000, key=None, value=value, headers=[])
    builder.close()
    return bytes(builder.buffer())


def read(content: bytes) -> list[Any]:
    """Return the records of batches as the client reads them."""
    records = MemoryRecords(content)
    found = []
    while records.has_next():
        following = records.next_batch()
        assert following is not None
        assert following.validate_crc()
        found += list(following)
    return found


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_what_is_within_bounds_is_read_as_it_is(codec: int) -> None:
    """Fails when the bounded codecs read anything else than what was written."""
    values = [b"x" * 1000, b"", bytes(range(256)) * 2000]
    found = read(batch(codec, values) + batch(codec, [b"next"], 10))
    assert [(each.offset, each.value) for each in found] == list(enumerate([*values, b"next"], 7))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_bomb_is_one_record_that_says_so(codec: int) -> None:
    """Fails when a decompression bomb is unpacked, stops reading, or takes what stands around it along."""
    bomb = batch(codec, [bytes(900_000), bytes(900_000)], 8)
    assert len(bomb) < 200_000
    found = read(batch(codec, [b"before"]) + bomb + batch(codec, [b"after"], 10))
    assert [each.offset for each in found] == [7, 9, 10]
    assert [found[0].value, found[2].value] == [b"before", b"after"]
    assert b"the 2 records from offset" in found[1].value
    assert found[1].headers == [("content-type", kafka_bounds.CONTENT_TYPE.encode())]


def test_a_bomb_becomes_a_dead_letter() -> None:
    """Fails when the record that stands for a bomb is taken for an event."""
    (found,) = read(batch(CODECS["zstd"], [bytes(5_000_000)]))
    record = StoredRecord(0, found.offset, found.timestamp, found.key, found.value, tuple(found.headers))
    (letter,) = EventDecoder(EventOptions(), {}).decode([record]).rejected
    assert (letter.offset, letter.reason) == (7, "content_type")
    assert b"becomes more than" in (letter.value or b"")
