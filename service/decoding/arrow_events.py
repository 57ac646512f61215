"""Messages that are Arrow IPC streams: each row becomes one event, as JSON, and goes the way of all events.

Everything about a stream is taken for hostile: offsets are validated before a value is read, compressed batches are
refused (a kilobyte may become gigabytes), and so is a stream with a row that would become too large
(``arrow_expansion.py``), or whose rows, written out, would be too long. pyarrow is optional, and only loaded when the
first stream arrives.
"""

import struct
from typing import Any

import msgspec

from service.decoding.arrow_expansion import bytes_of_row
from service.decoding.event_problems import PayloadInvalid, explain

MAXIMUM_BYTES = 64 * 1024 * 1024
"""Length of all rows of one stream, as JSON."""

_AT_ONCE = 64
"""Rows that are made Python objects at once; fewer where they are large."""

_ROOM = 16 * 1024 * 1024
"""Bytes that they may take."""

_BROKEN = (ValueError, TypeError, OSError, ArithmeticError, LookupError, RecursionError, struct.error)
"""What pyarrow raises beside its own errors, for a time out of range or a zone that is none, and msgspec for a value
that JSON has no form for."""

_RECORD_BATCH = 3
"""Number of RecordBatch in the union MessageHeader of Arrow's ``Message.fbs``."""


def rows_as_json(stream: bytes, most: int) -> list[bytes]:
    """Return each row of an Arrow IPC stream as a JSON object; NaN becomes null, times become ISO 8601.

    Parameters
    ----------
    stream
        The whole stream.
    most
        Rows that it may have; rows without columns cost no bytes, but time.

    Raises
    ------
    PayloadInvalid
        The stream is broken, compressed or too long; or pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (optional, and slow to load)
    except ModuleNotFoundError:
        raise PayloadInvalid("content_type", "Arrow streams need pyarrow: install headrace[parquet]") from None
    try:
        return _read(pa, stream, most)
    except (pa.ArrowException, *_BROKEN) as error:
        raise PayloadInvalid("malformed", explain(error)) from None


def _read(pa: Any, stream: bytes, most: int) -> list[bytes]:
    for message in pa.ipc.MessageReader.open_stream(stream):
        if _is_compressed(bytes(message.metadata)):
            raise ValueError("compressed record batches are not taken; write the stream without compression")
    rows: list[bytes] = []
    length = 0
    for batch in pa.ipc.open_stream(stream):
        if len(rows) + batch.num_rows > most:
            raise ValueError(f"more than {most} rows in one message")
        batch.validate(full=True)
        at_once = _rows_at_once(pa, batch)
        for start in range(0, batch.num_rows, at_once):
            encoded = [msgspec.json.encode(row) for row in batch.slice(start, at_once).to_pylist()]
            length += sum(map(len, encoded))
            if length > MAXIMUM_BYTES:
                raise ValueError(f"rows of more than {MAXIMUM_BYTES} bytes in one message")
            rows += encoded
    return rows


def _rows_at_once(pa: Any, batch: Any) -> int:
    """Return how many rows may be made Python objects at a time."""
    size = bytes_of_row(pa, batch)
    if size > MAXIMUM_BYTES:
        raise ValueError(f"a row may take {size} bytes when it is written out; at most {MAXIMUM_BYTES} are taken")
    return max(1, min(_AT_ONCE, _ROOM // max(1, size)))


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message is, or holds, a record batch with compressed buffers.

    Reads flatbuffers by hand, for pyarrow only tells once it has decompressed: a table begins with its distance from
    its vtable, which holds a 16-bit place for each field (``Message.fbs`` in Arrow's ``format`` folder).
    """
    message = struct.unpack_from("<I", metadata, 0)[0]
    kind = _field(metadata, message, 1)
    header = _field(metadata, message, 2)
    if kind is None or header is None:
        return False
    table = header + struct.unpack_from("<I", metadata, header)[0]
    if metadata[kind] == _RECORD_BATCH:
        return _field(metadata, table, 3) is not None
    # A dictionary batch has its record batch as its second field.
    data = _field(metadata, table, 1) if metadata[kind] == _RECORD_BATCH - 1 else None
    if data is None:
        return False
    return _field(metadata, data + struct.unpack_from("<I", metadata, data)[0], 3) is not None


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Return where field `number` of a flatbuffers table lies; None where it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, vtable)[0]
    place = 4 + 2 * number
    if place >= size:
        return None
    offset = struct.unpack_from("<H", metadata, vtable + place)[0]
    return table + offset if offset else None
