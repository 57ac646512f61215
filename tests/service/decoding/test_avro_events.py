"""Avro messages as events: each means what it would mean as JSON; what cannot be read costs a letter, nothing else."""

import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from consumers.source import StoredRecord
from models.examples import FeatureKey, Kind
from service.decoding.avro_schema import compile_schema
from service.decoding.decoded import DecodedEvents
from service.decoding.event_problems import PayloadInvalid
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import ENVELOPE, record, seen
from tests.support.schema_registry import KnownSchemas, framed, record_of

FLAT = EventOptions(format="flat", label="y", id="who", timestamp="at")
POINT = record_of("Point", x="double", label=["null", "string"])
ALL = record_of(
    y="boolean",
    who={"type": "string", "logicalType": "uuid"},
    at={"type": "long", "logicalType": "timestamp-millis"},
    number=["null", "int"],
    price={"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2},
    exact={"type": "fixed", "name": "Exact", "size": 4, "logicalType": "decimal", "precision": 8, "scale": 1},
    day={"type": "int", "logicalType": "date"},
    colour={"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]},
    inner=["null", record_of("Inner", deep=record_of("Deep", n="long"), t="string")],
    tokens={"type": "array", "items": "string"},
    vector={"type": "array", "items": "float"},
    shares={"type": "map", "values": "double"},
    either=["string", "double"],
    nothing="null",
)
VALUE: dict[str, Any] = {
    "y": True,
    "who": UUID(int=7),
    "at": datetime(2025, 11, 21, tzinfo=UTC),
    "number": None,
    "price": Decimal("12.50"),
    "exact": Decimal("-0.5"),
    "day": date(2025, 1, 2),
    "colour": "BLUE",
    "inner": {"deep": {"n": 2**40}, "t": "ø"},
    "tokens": ["a", "b"],
    "vector": [0.5, -1.0],
    "shares": {"a": 0.25},
    "either": 2.0,
    "nothing": None,
}
AS_JSON = {
    **VALUE,
    "who": str(UUID(int=7)),
    "at": "2025-11-21T00:00:00Z",
    "price": 12.5,
    "exact": -0.5,
    "day": "2025-01-02",
}


def decode(
    values: list[bytes],
    schemas: dict[int, Any],
    options: EventOptions = FLAT,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> DecodedEvents:
    """Decode messages with a fresh decoder."""
    records = [record(value, n, headers=headers) for n, value in enumerate(values)]
    return EventDecoder(options, {}, schemas=KnownSchemas(schemas)).decode(records)


@pytest.mark.parametrize("name", ["", "application/avro", "avro/binary", "application/json"])
def test_every_type_means_what_it_means_as_json(name: str) -> None:
    """Fails when an event in Avro is another one than in JSON, or is not known for what it is."""
    headers = (("content-type", name.encode()),) if name else ()
    found = decode([framed(1, ALL, VALUE)] * 2, {1: ALL}, headers=headers)
    expected = EventDecoder(FLAT, {}).decode([record(AS_JSON, n) for n in range(2)])
    left_out = ("next",)  # bytes in the log, which are others
    assert {k: v for k, v in seen(found).items() if k not in left_out} == {
        k: v for k, v in seen(expected).items() if k not in left_out
    }
    assert not found.rejected
    assert FeatureKey("inner.deep.n", Kind.NUMBER) in found.examples.features.keys
    assert FeatureKey("vector[1]", Kind.VECTOR) in found.examples.features.keys
    assert found.examples.features.tokens == {"tokens": [["a", "b"]] * 2}
    assert found.examples.features.categories["colour"] == ["BLUE", "BLUE"]


def test_an_envelope_in_avro() -> None:
    """Fails when the envelope format can only be had in JSON."""
    schema = record_of(
        features=record_of("Features", a="double", b=["null", "string"]), label=["null", "int"], weight="float"
    )
    values = [{"features": {"a": 1.5, "b": None}, "label": 1, "weight": 2.0}]
    values += [{"features": {"a": float("nan"), "b": "x"}, "label": 0, "weight": 1.0}]
    found = decode([framed(9, schema, value) for value in values], {9: schema}, ENVELOPE)
    assert list(found.examples.labels) == [1, 0]
    assert found.examples.weights.tolist() == [2.0, 1.0]
    assert found.examples.features.categories == {"b": [None, "x"]}


def test_a_schema_evolves_in_mid_stream() -> None:
    """Fails when a producer's new field stops learning, or an old one is read by the new schema."""
    old, new = record_of(y="int", a="double"), record_of(y="int", b="string", a=["double", "null"])
    values = [framed(1, old, {"y": 1, "a": 2.0}), framed(2, new, {"y": 0, "b": "x", "a": 3.0})]
    values += [framed(1, old, {"y": 1, "a": 4.0})]
    found = decode(values, {1: old, 2: new}, EventOptions(format="flat", label="y"))
    assert list(found.examples.labels) == [1, 0, 1]
    assert found.examples.features.numbers.tolist() == [[2.0], [3.0], [4.0]]
    assert found.examples.features.categories == {"b": [None, "x", None]}


def test_avro_and_json_in_one_topic() -> None:
    """Fails when a topic cannot move from one format to the other."""
    found = decode([b'{"x":1,"label":"a"}', framed(1, POINT, {"x": 2.0, "label": "b"})], {1: POINT},
                   EventOptions(format="flat", label="label"))  # fmt: skip
    assert (list(found.examples.labels), found.examples.features.numbers.tolist()) == (["a", "b"], [[1.0], [2.0]])


GOOD = framed(1, POINT, {"x": 2.0, "label": "b"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (framed(5, POINT, {"x": 2.0, "label": "b"}), "schema"),
        (GOOD[:-1], "malformed"),
        (GOOD + b"\0", "malformed"),
        (b"\0\0\0\0", "malformed"),
        (b"\0\0\0\0\1", "malformed"),
        (GOOD[:13] + b"\x09" + GOOD[14:], "malformed"),
        (framed(2, '"int"', 5), "not_an_event"),
    ],
    ids=["unknown schema", "cut", "too long", "no id", "no body", "no such branch", "no record"],
)
def test_a_bad_message_is_one_letter_of_itself(value: bytes, reason: str) -> None:
    """Fails when what cannot be read costs its neighbours, or its letter could not be sent again as it came."""
    found = decode([GOOD, value, GOOD], {1: POINT, 2: '"int"'}, EventOptions(format="flat", label="label"))
    assert list(found.examples.labels) == ["b", "b"]
    (letter,) = found.rejected
    assert (letter.offset, letter.reason, letter.value) == (1, reason, value)


def test_without_a_registry_the_letter_says_what_to_configure() -> None:
    """Fails when whoever has Avro does not learn that it can be read."""
    (letter,) = EventDecoder(ENVELOPE, {}).decode([record(GOOD)]).rejected
    assert letter.reason == "content_type"
    assert "schema_registry.url" in letter.detail


LIST: dict[str, Any] = {"type": "array", "items": "null"}
WIDE = record_of("Wide", **{f"n{n}": "null" for n in range(500)})
SELF = record_of("Node", next=["null", "Node"])


@pytest.mark.parametrize(
    "schema",
    [
        record_of(a=LIST),
        record_of(a={"type": "array", "items": ["null", WIDE]}),
        record_of(a={"type": "array", "items": record_of("Empty")}),
        record_of(a={"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
        record_of(a={"type": "array", "items": record_of("Named", **{"n" * 1000: "int"})}),
        SELF,
        record_of(a={"type": "fixed", "name": "F", "size": 2**40}),
        '{"type":"array","items":' * 100 + '"int"' + "}" * 100,
        "[" * 100_000,
        "{",
        '{"type":"record","name":"E"}',
        '{"type":"record","name":"E","fields":[{"name":"a","type":"Other"}]}',
        record_of(a="int", b={"type": "enum", "name": "X", "symbols": [1]}),
        "null",
        "7",
        "[]",
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_hostile_schema_is_refused(schema: Any) -> None:
    """Fails when whoever may register a schema can have ten bytes become a gigabyte, or the reader crash."""
    text = KnownSchemas({1: schema})._texts[1]
    with pytest.raises(PayloadInvalid) as caught:
        compile_schema(text)
    assert caught.value.problem.reason == "schema"
    assert len(caught.value.problem.detail) <= 300


def test_a_doubling_schema_is_refused_at_once() -> None:
    """Fails when names that are used twice, twice over, make a value of any size out of nothing."""
    inner: Any = "null"
    for level in range(40):
        inner = record_of(f"R{level}", a=inner, b=f"R{level - 1}" if level else "null")
    with pytest.raises(PayloadInvalid):
        compile_schema(KnownSchemas({1: inner})._texts[1])


@pytest.mark.parametrize("count", [2**20, 2**40, 2**62])
def test_a_count_beyond_the_body_is_refused(count: int) -> None:
    """Fails when a body of twenty bytes says how much memory is taken."""
    schema = record_of(y="int", a={"type": "array", "items": "int"})
    body = b"\x02" + _varint(count) + b"\x02\x02"
    found = decode([struct.pack(">bI", 0, 1) + body], {1: schema}, EventOptions(format="flat", label="y"))
    assert [each.reason for each in found.rejected] == ["malformed"]


def test_a_decimal_of_a_megabyte_costs_nothing() -> None:
    """Fails when one message of digits keeps the reader busy for minutes."""
    schema = record_of(y="int", a={"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2})
    plain = record_of(y="int", a="bytes")
    value = framed(1, plain, {"y": 1, "a": b"\x7f" * 1_000_000})
    found = decode([value], {1: schema}, EventOptions(format="flat", label="y"))
    assert [each.reason for each in found.rejected] == ["malformed"]


def _varint(number: int) -> bytes:
    zigzag, found = number << 1, bytearray()
    while zigzag > 127:
        found.append(zigzag & 127 | 128)
        zigzag >>= 7
    return bytes((*found, zigzag))


def test_records_know_nothing_of_each_other() -> None:
    """Fails when what was decoded before changes what a message means."""
    values = [GOOD, framed(3, ALL, VALUE), GOOD]
    records = [StoredRecord(0, n, 0, None, value) for n, value in enumerate(values)]
    decoder = EventDecoder(FLAT, {}, schemas=KnownSchemas({1: POINT, 3: ALL}))
    first = seen(decoder.decode(records))
    assert seen(decoder.decode(records)) == first
