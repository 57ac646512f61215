"""Names of headers that are no text: the client takes each for UTF-8, and would never get past one that is not.

On the path it stands inside the client. Kafka's protocol calls the name of a header a string, and its brokers do not
look: a producer may send any bytes. What is not ASCII in such a record's names becomes question marks, and the record
goes on as it is.
"""

from collections.abc import Callable, Iterator
from typing import Any

from kafka.record import default_records
from kafka.record.util import decode_varint


def mend() -> None:
    """Have the client read such records, in this process; may be called again."""
    default_records.DefaultRecordBatch._read_msg = _read


def _read(batch: Any) -> Any:
    """Take the place of the client's own method."""
    try:
        return _UNMENDED(batch)
    except UnicodeDecodeError:
        # As many bytes as before, so that all lengths stay right.
        for start, stop in _names(batch._buffer, batch._pos):
            batch._buffer[start:stop] = bytes(byte if byte < 0x80 else ord("?") for byte in batch._buffer[start:stop])
        return _UNMENDED(batch)


_UNMENDED: Callable[[Any], Any] = default_records.DefaultRecordBatch._read_msg


def _names(buffer: bytearray, place: int) -> Iterator[tuple[int, int]]:
    """Yield where each header's name begins and ends in the record that begins at `place`.

    A record is its length, attributes, the differences of its time and of its offset, key, value and headers.
    """
    for _ in range(4):
        _, place = decode_varint(buffer, place)
    for _ in range(2):
        _, place = _span(buffer, place)
    count, place = decode_varint(buffer, place)
    for _ in range(count):
        start, stop = _span(buffer, place)
        yield start, stop
        _, place = _span(buffer, stop)


def _span(buffer: bytearray, place: int) -> tuple[int, int]:
    """Return where the bytes that a length at `place` announces begin and end; those that are null end at once."""
    length, start = decode_varint(buffer, place)
    return start, start + max(length, 0)
