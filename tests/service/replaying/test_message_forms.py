"""How replayed events are written down as messages: all forms say the same, and what a form cannot hold is told."""

from collections.abc import Sequence

import pytest

from consumers.errors import RecordTooLarge
from consumers.source import NewRecord, StoredRecord
from service.errors import DeliveryFailed
from service.events import EventDecoder
from service.replaying.avro_messages import SCHEMA, avro_writer
from service.replaying.message_forms import Format
from service.replaying.replay_targets import Delivered, SinkTarget
from service.settings.event_options import EventOptions
from service.settings.schema_registry import SchemaRegistrySettings
from tests.support.events import seen
from tests.support.schema_registry import NUMBER, KnownSchemas, registry

EVENTS = [b'{"features":{"n":%d},"label":1}' % number for number in range(3)]


class Appended:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        self.closed = False

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        assert idempotency_key is None
        self.records.extend(records)
        return True

    def close(self) -> None:
        self.closed = True


def test_a_message_for_each_event_with_its_id_for_a_key() -> None:
    """An observation and its label could land in different partitions."""
    sink = Appended()
    target = SinkTarget(sink)
    events = [b'{"id":"a","label":1}', b'{"id":7,"features":{}}', b'{"features":{}}']
    assert target.send(events) == Delivered(3)
    target.close()
    assert [(record.value, record.key, record.headers) for record in sink.records] == [
        (events[0], b"a", ()),
        (events[1], b"7", ()),
        (events[2], None, ()),
    ]
    assert sink.closed


def test_lines_have_the_header_of_lines() -> None:
    """Lines would be read as one broken JSON document."""
    sink = Appended()
    SinkTarget(sink, "ndjson", 3).send(EVENTS)
    (record,) = sink.records
    assert record.value == b"\n".join(EVENTS)
    assert record.headers == (("content-type", b"application/x-ndjson"),)


ODD = [
    b'{"id":"a","features":{"n":1,"t":["x"],"v":[0.5,1],"o":{"b":true},"c":"\xc3\xb8"},"label":"up","weight":2.0}',
    b'{"id":"b","label":"down"}',
    b'{"features":{"n":2.5,"other name":null},"label":"up","timestamp":"2025-11-21T00:00:00Z"}',
    b'{"features":{},"label":"up"}',
]


@pytest.mark.parametrize(("form", "several"), [("json", 3), ("ndjson", 3), ("arrow", 3), ("avro", 1)])
def test_every_form_says_the_same(form: Format, several: int) -> None:
    """A stream would be learned otherwise because of how its messages are written down."""
    with registry() as known:
        settings = SchemaRegistrySettings(url=known.url)
        sink = Appended()
        target = SinkTarget(sink, form, several, avro_writer(settings, "topic") if form == "avro" else None)
        target.send(ODD)
        assert len(sink.records) == -(-len(ODD) // several)
        schemas = KnownSchemas({NUMBER: SCHEMA})
        found, expected = (
            EventDecoder(EventOptions(), {}, schemas=schemas).decode(records)
            for records in (_stored(sink.records), _stored([NewRecord(event) for event in ODD]))
        )
    assert not found.rejected
    for each in ("keys", "numbers", "categories", "tokens", "labels", "weights", "timestamps", "counts"):
        assert seen(found)[each] == seen(expected)[each]


def _stored(records: Sequence[NewRecord]) -> list[StoredRecord]:
    return [StoredRecord(0, n, 0, each.key, each.value, each.headers) for n, each in enumerate(records)]


def test_what_arrow_cannot_hold_is_said_with_what_can() -> None:
    """Whoever replays a file of mixed columns would get a traceback of pyarrow's."""
    events = [b'{"features":{"n":1},"label":1}', b'{"features":{"n":"x"},"label":1}']
    with pytest.raises(DeliveryFailed, match=r"one type for each column.*--format ndjson"):
        SinkTarget(Appended(), "arrow", 2).send(events)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((409, b'{"error_code":409,"message":"incompatible"}'), "take another --topic"),
        ((401, b""), "401"),
        ((200, b"hello"), "not answer as a schema registry"),
    ],
)
def test_a_registry_that_refuses_is_told(answer: tuple[int, bytes], said: str) -> None:
    """Whoever has no right to register a schema would get a traceback."""
    with registry() as known:
        known.answer = answer
        with pytest.raises(DeliveryFailed, match=said):
            avro_writer(SchemaRegistrySettings(url=known.url), "topic")
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        avro_writer(SchemaRegistrySettings(url=known.url), "topic")


def test_a_message_that_is_too_large_says_how_to_make_it_smaller() -> None:
    """Whoever packs too many events into a message would not know what to change."""

    class Small(Appended):
        def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
            raise RecordTooLarge(f"{len(records)} records are too large, whatever their key ({idempotency_key}).")

    with pytest.raises(DeliveryFailed, match="--events-per-message 250"):
        SinkTarget(Small(), "ndjson", 500).send(EVENTS)
