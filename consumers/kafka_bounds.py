"""Compressed batches of Kafka's records, opened within bounds: a megabyte of them may hold gigabytes of zeros.

On the path it stands inside the client, whose own codecs know no limit. A batch that would become too large gives one
record in its place, at the offset of its last one, which says so: it goes to the dead letters like everything that
cannot be decoded, its offset is passed, and learning goes on. What the batch held stays in the topic.
"""

import io
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kafka import codec
from kafka.record import default_records, legacy_records
from kafka.record.util import encode_varint

log = logging.getLogger(__name__)

MAXIMUM_BYTES = 64 * 1024 * 1024
"""What a batch may become; a broker takes batches of one megabyte unless it is told otherwise."""

CONTENT_TYPE = "application/x-headrace-oversized-batch"
"""Of the record that stands for a batch; nobody decodes it, so that it becomes a dead letter."""

_PIECE = 1 << 20
_GZIP = 31  # zlib's way of saying: with gzip's header
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class TooLarge(ValueError):
    """What was compressed is larger than a batch may be."""


def bound() -> None:
    """Have the client open batches within bounds, in this process; may be called again."""
    default_records.DefaultRecordBatch._maybe_uncompress = _open_batch
    for module in (default_records, legacy_records):
        for name, decode in _DECODERS.items():
            if hasattr(module, name):
                setattr(module, name, decode)


def _open_batch(batch: Any) -> None:
    """Take the place of the client's own method: decompress, or put one record in the place of all."""
    try:
        _UNBOUND(batch)
    except TooLarge:
        size = len(batch._buffer)
        log.warning("a batch of %s records at offset %s is too large", batch.records_count, batch.base_offset)
        said = (
            f"the {batch.records_count} records from offset {batch.base_offset} to {batch.last_offset} are one "
            f"compressed batch of {size} bytes that becomes more than {MAXIMUM_BYTES}"
        )
        batch._buffer, batch._pos = bytearray(_record(batch.last_offset_delta, said.encode())), 0
        batch._num_records = 1
        batch._decompressed = True


_UNBOUND: Callable[[Any], None] = default_records.DefaultRecordBatch._maybe_uncompress


def _record(offset_delta: int, value: bytes) -> bytes:
    """Return a record as a batch holds it: without a key, and with a content type."""
    content = bytearray(b"\0")  # attributes
    _put(content, 0)  # after the first timestamp
    _put(content, offset_delta)
    _put(content, -1)  # no key
    _put_text(content, value)
    _put(content, 1)  # headers
    _put_text(content, b"content-type")
    _put_text(content, CONTENT_TYPE.encode())
    record = bytearray()
    _put(record, len(content))
    return bytes(record + content)


def _put(buffer: bytearray, number: int) -> None:
    encode_varint(number, buffer.append)


def _put_text(buffer: bytearray, text: bytes) -> None:
    _put(buffer, len(text))
    buffer += text


def _gunzip(payload: Any) -> bytes:
    rest, parts, size = bytes(payload), bytearray(), 0
    while rest:
        decoder = zlib.decompressobj(_GZIP)
        while rest and not decoder.eof:
            part = decoder.decompress(rest, _PIECE)
            rest = decoder.unconsumed_tail
            size += len(part)
            parts += part
            if size > MAXIMUM_BYTES:
                raise TooLarge
        rest = decoder.unused_data
    return bytes(parts)


def _unzstd(payload: bytes) -> bytes:
    with codec.zstd.ZstdDecompressor().stream_reader(io.BytesIO(payload), read_across_frames=True) as reader:
        return _whole(reader.read(MAXIMUM_BYTES + 1))


def _unlz4(payload: bytes) -> bytes:
    return _whole(codec.lz4.LZ4FrameDecompressor().decompress(payload, max_length=MAXIMUM_BYTES + 1))


def _whole(content: bytes) -> bytes:
    if len(content) > MAXIMUM_BYTES:
        raise TooLarge
    return content


def _unsnappy(payload: bytes) -> bytes:
    """Add up what the blocks say of their length before any is opened."""
    if sum(map(_snappy_length, _snappy_blocks(payload))) > MAXIMUM_BYTES:
        raise TooLarge
    content: bytes = _SNAPPY(payload)
    return content


_SNAPPY = default_records.snappy_decode


def _snappy_blocks(payload: bytes) -> list[bytes]:
    if not payload.startswith(_XERIAL):
        return [payload]
    blocks, place = [], _XERIAL_HEADER
    while place + 4 <= len(payload):
        size = max(0, int.from_bytes(payload[place : place + 4], "big", signed=True))
        blocks.append(payload[place + 4 : place + 4 + min(size, 5)])
        place += 4 + size
    return blocks


def _snappy_length(block: bytes) -> int:
    """Return the length of a block's content: a number in groups of seven bits, least significant first."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(_varint(block)))


def _varint(block: bytes) -> bytes:
    for place, byte in enumerate(block[:5]):
        if byte < 0x80:
            return block[: place + 1]
    return block[:5]


_DECODERS: Mapping[str, Callable[[Any], bytes]] = {
    "gzip_decode": _gunzip,
    "zstd_decode": _unzstd,
    "lz4_decode": _unlz4,
    "snappy_decode": _unsnappy,
}
