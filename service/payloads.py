"""Messages into the bytes of single events, by content type.

On the path it is the first step after the log: what one message holds, one event or many, is settled here and nowhere
else.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from consumers.source import Record

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"

_NAMES = {JSON: JSON, NDJSON: NDJSON, "application/ndjson": NDJSON, ARROW: ARROW}
_DETAIL = 300
"""Characters of a detail; what a producer sent is never repeated at length."""

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
_SPACE = b" \t\r\n"

BAD_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding JSON raises: malformed, wrong type or number out of range; no UTF-8; nested too deeply."""


class Problem(NamedTuple):
    """Why an event cannot be used: a reason from the fixed set, and a detail for a person."""

    reason: str
    detail: str


class PayloadInvalid(Exception):
    """A whole message cannot be taken apart; `problem` says why. It never leaves the decoder."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(reason, detail)


def explain(error: BaseException) -> str:
    """Return what a decoder complains about, in bounded length."""
    return str(error)[:_DETAIL]


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


def split(value: bytes, content_type: str) -> list[bytes]:
    """Return the bytes of each event that a JSON or NDJSON message holds.

    Raises
    ------
    PayloadInvalid
        The message is no JSON so that its events cannot be told apart, or its type is none of these.
    """
    if content_type == NDJSON:
        return _lines(value)
    if content_type != JSON:
        raise PayloadInvalid("content_type", _unknown(content_type))
    return _elements(value) if value.lstrip(_SPACE)[:1] == b"[" else [value]


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


def event_value(record: Record, index: int) -> bytes | None:
    """Return the bytes of one event of a record, for the dead letters; the whole message where it cannot be split."""
    if record.value is None:
        return None
    try:
        return split(record.value, content_type_of(record.headers))[index]
    except (PayloadInvalid, IndexError):
        return record.value


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
