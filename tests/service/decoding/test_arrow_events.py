"""Arrow streams as events; what is broken, compressed or blown up in them costs a dead letter and nothing else."""

import sys
from typing import Any

import pyarrow as pa
import pytest

from models.examples import FeatureKey, Kind
from service.decoding import arrow_events
from service.events import DecodedEvents, EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import ARROW, ENVELOPE, arrow_stream, record

HEADERS = (*ARROW, ("h", b"v"))


def decode(value: bytes, options: EventOptions = ENVELOPE) -> DecodedEvents:
    """Decode one Arrow message."""
    return EventDecoder(options, {}).decode([record(value, headers=HEADERS)])


def table(**columns: Any) -> pa.Table:
    """Return a table."""
    return pa.table(columns)


def test_a_flat_stream_is_learned() -> None:
    """Fails when rows of an Arrow stream are not the events that they are in JSON."""
    cities = pa.array(["Oslo", None, "Rome"]).dictionary_encode()
    value = arrow_stream(table(y=[1, 0, 1], n=[1.5, float("nan"), 3.0], city=cities, v=[[1, 2], None, [3, 4]]))
    decoded = decode(value, EventOptions(format="flat", label="y"))
    assert decoded.examples.features.keys == (
        FeatureKey("n", Kind.NUMBER),
        FeatureKey("v[0]", Kind.VECTOR),
        FeatureKey("v[1]", Kind.VECTOR),
    )
    assert decoded.examples.features.categories == {"city": ["Oslo", None, "Rome"]}
    assert list(decoded.examples.labels) == [1, 0, 1]
    assert decoded.track.next_events.tolist() == [1, 2, 0]


def test_a_bad_row_becomes_a_json_dead_letter() -> None:
    """Fails when one bad row costs the stream, or its dead letter could not be sent again by its own headers."""
    value = arrow_stream(table(features=[{"a": 1.0}, {"a": 2.0}], label=["x", "y"], weight=[1.0, -1.0]))
    decoded = decode(value)
    assert list(decoded.examples.labels) == ["x"]
    (letter,) = decoded.rejected
    assert (letter.index, letter.reason, letter.value) == (
        1,
        "weight",
        b'{"features":{"a":2.0},"label":"y","weight":-1.0}',
    )
    assert letter.headers == (("h", b"v"), ("content-type", b"application/json"))


PLAIN = arrow_stream(table(features=[{"a": 1.0}] * 300, label=[1] * 300))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        PLAIN[:100],
        PLAIN[:-40],
        arrow_stream(table(features=[{"a": 1.0}] * 300), "zstd"),
        arrow_stream(table(label=pa.array(["x" * 100] * 300).dictionary_encode()), "lz4"),
        arrow_stream(table(label=pa.nulls(200_000))),
    ],
    ids=["empty", "no stream", "cut", "cut at the end", "zstd", "lz4 dictionary", "rows of nothing"],
)
def test_a_broken_stream_is_one_dead_letter(value: bytes) -> None:
    """Fails when a stream that cannot be trusted stops decoding, or is read nevertheless."""
    decoded = decode(value)
    assert [(each.index, each.reason, each.value) for each in decoded.rejected] == [(0, "malformed", value)]


def test_every_cut_and_every_flipped_byte_is_survived() -> None:
    """Fails when a damaged stream raises something that nobody expects."""
    value = arrow_stream(table(features=[{"a": 1.0, "b": "x"}] * 3, label=[1, 2, 3]))
    decoder = EventDecoder(ENVELOPE, {})
    for place in range(0, len(value), 3):
        flipped = value[:place] + bytes([value[place] ^ 0xFF]) + value[place + 1 :]
        decoder.decode([record(value[:place], 0, headers=ARROW), record(flipped, 1, headers=ARROW)])


def test_one_long_text_repeated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a dictionary that repeats one long text eats the memory."""
    monkeypatch.setattr(arrow_events, "MAXIMUM_BYTES", 100_000)
    value = arrow_stream(table(features=pa.array(["x" * 1000]).take(pa.array([0] * 300)).dictionary_encode()))
    assert len(value) < 20_000
    assert [each.reason for each in decode(value).rejected] == ["malformed"]


def test_without_pyarrow_the_dead_letter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when an installation without pyarrow breaks on the first Arrow message."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (letter,) = decode(PLAIN).rejected
    assert letter.reason == "content_type"
    assert "headrace[parquet]" in letter.detail
