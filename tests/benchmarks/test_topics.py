"""Topics to measure on: the same events in each format, and as many categories as are promised."""

import msgspec

from benchmarks import topics
from benchmarks.sections.avro import SCHEMA, avro_messages
from service.events import EventDecoder
from tests.support.events import ENVELOPE, decode, record
from tests.support.schema_registry import KnownSchemas


def test_all_formats_hold_the_same_events() -> None:
    """What is compared would not be the same."""
    wanted = EventDecoder(ENVELOPE, {}).decode([record(value) for value in topics.events(2 * topics.ROWS)]).examples
    for content_type, made in ((topics.NDJSON, topics.ndjson_messages), (topics.ARROW, topics.arrow_messages)):
        headers = (("content-type", content_type.encode()),)
        decoded = EventDecoder(ENVELOPE, {}).decode([record(value, headers=headers) for value in made(2)]).examples
        assert list(decoded.labels) == list(wanted.labels)
        assert (decoded.features.numbers == wanted.features.numbers).all()
        assert decoded.features.categories == wanted.features.categories


def test_avro_holds_the_same_events() -> None:
    """What is compared would not be the same."""
    wanted = decode(*topics.events(20)).examples
    known = KnownSchemas({7: SCHEMA})
    decoded = (
        EventDecoder(ENVELOPE, {}, schemas=known).decode([record(value) for value in avro_messages(20, 7)]).examples
    )
    assert list(decoded.labels) == list(wanted.labels)
    assert (decoded.features.numbers == wanted.features.numbers).all()


def test_each_category_comes_before_any_comes_again() -> None:
    """A million categories would be fewer."""
    users = [msgspec.json.decode(value)["features"]["user"] for value in topics.categorised_events(110, 100)]
    assert len(set(users[:100])) == 100
    assert users[100:] == users[:10]


def test_a_pool_goes_round() -> None:
    """A topic would end before it is measured."""
    assert list(topics.around([b"a", b"b"], 5)) == [b"a", b"b", b"a", b"b", b"a"]
