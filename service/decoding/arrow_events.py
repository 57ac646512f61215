"""Messages that are Arrow IPC streams: checked here, and, where they must be, written down as JSON row by row.

On the path a stream goes from here into columns (``arrow_columns.py``); where something about it is unusual, each row
becomes one event, as JSON, and goes the way of all events.

Everything about a stream is taken for hostile: offsets are validated before a value is read, compressed batches are
refused (a kilobyte may become gigabytes), and so is a stream with a row that would become too large
(``arrow_expansion.py``), or whose rows, written out, would be too long. pyarrow is optional, and only loaded when the
first stream arrives.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from service.decoding.arrow_expansion import bytes_of_row
from service.decoding.event_problems import PayloadInvalid, explain

MAXIMUM_BYTES = 64 * 1024 * 1024
"""Length of all rows of one stream, as JSON."""

_AT_ONCE = 64
"""Rows that are made Python objects at once; fewer where they are large."""

_ROOM = 16 * 1024 * 1024
"""Bytes that they may take."""

UNWRITABLE = (ValueError, TypeError, OSError, ArithmeticError, LookupError, RecursionError, struct.error)
"""What pyarrow raises beside its own errors, for a time out of range or a zone that is none, and msgspec for a value
that JSON has no form for."""

_RECORD_BATCH = 3
"""Number of RecordBatch in the union MessageHeader of Arrow's ``Message.fbs``."""


as_json = msgspec.json.Encoder(decimal_format="number").encode
"""How values that JSON has no form for become JSON: NaN is null, times are ISO 8601, decimals are numbers."""


@dataclass(frozen=True, slots=True)
class ArrowStream:
    """One Arrow IPC stream, its bytes checked.

    Attributes
    ----------
    pyarrow
        The module.
    schema, batches
        As pyarrow has them; the batches are views of the stream's bytes, validated in full.
    rows, length
        Of all batches; bytes of the stream.
    has_dictionaries
        Whether a column refers to values that are written once.
    """

    pyarrow: Any
    schema: Any
    batches: Sequence[Any]
    rows: int
    length: int
    has_dictionaries: bool

    @classmethod
    def read(cls, stream: bytes, most: int) -> Self:
        """Check a stream.

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
            return cls._read(pa, stream, most)
        except (pa.ArrowException, *UNWRITABLE) as error:
            raise PayloadInvalid("malformed", explain(error)) from None

    @classmethod
    def _read(cls, pa: Any, stream: bytes, most: int) -> Self:
        kinds = set()
        for message in pa.ipc.MessageReader.open_stream(stream):
            kinds.add(message.type)
            if _is_compressed(memoryview(message.metadata)):
                raise ValueError("compressed record batches are not taken; write the stream without compression")
        rows = 0
        batches = []
        reader = pa.ipc.open_stream(stream)
        for batch in reader:
            rows += batch.num_rows
            if rows > most:
                raise ValueError(f"more than {most} rows in one message")
            batch.validate(full=True)
            batches.append(batch)
        return cls(pa, reader.schema, batches, rows, len(stream), "dictionary" in kinds)

    def rows_as_json(self) -> list[bytes]:
        """Return each row as a JSON object.

        Raises
        ------
        PayloadInvalid
            A row is, or all rows are, too large; or a value is none that can be written down.
        """
        try:
            return _write_down(self.pyarrow, self.batches)
        except (self.pyarrow.ArrowException, *UNWRITABLE) as error:
            raise PayloadInvalid("malformed", explain(error)) from None


def _write_down(pa: Any, batches: Sequence[Any]) -> list[bytes]:
    rows: list[bytes] = []
    length = 0
    for batch in batches:
        at_once = _rows_at_once(pa, batch)
        for start in range(0, batch.num_rows, at_once):
            encoded = [as_json(row) for row in batch.slice(start, at_once).to_pylist()]
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


def _is_compressed(metadata: memoryview) -> bool:
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


def _field(metadata: memoryview, table: int, number: int) -> int | None:
    """Return where field `number` of a flatbuffers table lies; None where it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, vtable)[0]
    place = 4 + 2 * number
    if place >= size:
        return None
    offset = struct.unpack_from("<H", metadata, vtable + place)[0]
    return table + offset if offset else None
