"""A header whose name is no text costs nothing: the record is read, and so are those around it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import default_records
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from consumers.kafka_names import mend

Headers = list[tuple[str, bytes | None]]


def records_of(headers: Headers, written: bytes, instead: bytes) -> list[Any]:
    """Return what the client reads of three records, the second of which has `headers`, with bytes exchanged."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20, offset=0)
    for value, own in ((b"one", []), (b"two", headers), (b"three", [])):
        builder.append(timestamp=1_763_683_200_000, key=b"key", value=value, headers=own)
    builder.close()
    batch = MemoryRecords(bytes(builder.buffer()).replace(written, instead)).next_batch()
    assert batch is not None
    return list(batch)


def test_names_that_are_no_text_are_read_with_question_marks() -> None:
    """If this fails, one record with a strange header stops a model for ever."""
    mend()
    headers: Headers = [("before", b"1"), ("Name", None), ("after", b"\xff")]
    one, two, three = records_of(headers, b"Name", b"\xff\xfeme")
    assert [each.value for each in (one, two, three)] == [b"one", b"two", b"three"]
    assert two.headers == [("before", b"1"), ("??me", None), ("after", b"\xff")]
    assert two.key == b"key"


def test_without_it_the_client_does_not_get_past_such_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the client has learned to read them, and ``kafka_names.py`` is not needed any more."""
    from consumers import kafka_names

    monkeypatch.setattr(default_records.DefaultRecordBatch, "_read_msg", kafka_names._UNMENDED)
    with pytest.raises(Exception, match="utf-8"):
        records_of([("Name", b"1")], b"Name", b"\xff\xfeme")


@given(st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)), max_size=4))
def test_names_that_are_text_stay_as_they_are(headers: Headers) -> None:
    """If this fails, headers that all others can read are altered."""
    mend()
    assert records_of(headers, b"", b"")[1].headers == headers
