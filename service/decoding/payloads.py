"""Messages into the bytes of single events, by content type.

On the path it is the first step after the log: what one message holds, one event or many, is settled here and nowhere
else.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.decoding.arrow_events import ArrowStream
from service.decoding.event_problems import BAD_JSON, PayloadInvalid, Problem, explain

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
AVRO = "application/avro"

MAGIC = b"\0"
"""The first byte of Avro as Confluent's serializers frame it; no JSON begins so."""

MAXIMUM_EVENTS = 100_000
"""Events in one message; each bad one becomes a dead letter."""

_NAMES = {
    JSON: JSON,
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    ARROW: ARROW,
    AVRO: AVRO,
    "avro/binary": AVRO,
    "application/vnd.apache.avro": AVRO,
}
_AVRO_UNREAD = (
    "this looks like Avro, which is read from Kafka where schema_registry.url says which registry has its schemas"
)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
_SPACE = b" \t\r\n"


def content_type_of(headers: Sequence[tuple[str, bytes]]) -> str:
    """Return the content type that a record's headers name; JSON where there is none.

    Returns
    -------
    str
        One of the types above, or whatever else the header says.
    """
    for name, value in headers:
        if name.lower() == "content-type":
            return canonical_type(value.decode("latin-1") if value else "")
    return JSON


def canonical_type(header: str) -> str:
    """Return the media type of a ``content-type`` header, without its parameters; JSON where it is empty."""
    name = header.partition(";")[0].strip().lower()
    return _NAMES.get(name, name) or JSON


def is_avro(value: bytes, content_type: str) -> bool:
    """Whether a message is framed Avro: by its header, or, as most producers of Avro send none, by its first byte."""
    return content_type == AVRO or (content_type == JSON and value[:1] == MAGIC)


def split(value: bytes, content_type: str) -> list[bytes]:
    """Return each event that a message holds, as JSON.

    Raises
    ------
    PayloadInvalid
        The message is broken so that its events cannot be told apart, or its type is none that is known.
    """
    if content_type == NDJSON:
        return _bounded(_lines(value))
    if content_type == ARROW:
        return ArrowStream.read(value, MAXIMUM_EVENTS).rows_as_json()
    if is_avro(value, content_type):
        raise PayloadInvalid("content_type", _AVRO_UNREAD)
    if content_type != JSON:
        raise PayloadInvalid("content_type", _unknown(content_type))
    return _bounded(_elements(value)) if value.lstrip(_SPACE)[:1] == b"[" else [value]


def _bounded(events: list[bytes]) -> list[bytes]:
    if len(events) > MAXIMUM_EVENTS:
        raise PayloadInvalid("malformed", f"more than {MAXIMUM_EVENTS} events in one message; send several messages")
    return events


def _lines(value: bytes) -> list[bytes]:
    """Return the lines that are not blank; the events are numbered without the blank ones."""
    lines = [line for line in value.split(b"\n") if line.strip(_SPACE)]
    if not lines:
        raise PayloadInvalid("malformed", "the message is empty")
    return lines


def _elements(value: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _ELEMENTS.decode(value)]
    except BAD_JSON as error:
        raise PayloadInvalid("malformed", explain(error)) from None


def _unknown(content_type: str) -> str:
    return f"content-type {content_type[:100]!r} is not known; send {JSON}, {NDJSON} or {ARROW}"


def decode_object(event: bytes, decode: Callable[[bytes], Any]) -> Any | Problem:
    """Decode the bytes of one event, which must be a JSON object; what is wrong is returned, not raised."""
    start = event.lstrip(_SPACE)[:1]
    if not start:
        return Problem("malformed", "the message is empty")
    try:
        if start == b"{":
            return decode(event)
        _ANYTHING.decode(event)
    except BAD_JSON as error:
        return Problem("malformed", explain(error))
    return Problem("not_an_event", "an event is a JSON object")


def decode_anything(event: bytes) -> Any | Problem:
    """Decode the bytes of one event, whatever the object holds."""
    return decode_object(event, _ANYTHING.decode)
