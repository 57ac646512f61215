"""The records of one batch of Kafka's, as bytes, into columns: one pass over the bytes, and no object but the values.

On the path it stands behind :mod:`consumers.kafka_batches`, which has the batches from the client. What does not add up
is left to the client, which says what is wrong with it.

The format is https://kafka.apache.org/documentation/#recordbatch (message format 2, since Kafka 0.11).
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np

from consumers.records import Headers, Records

T = TypeVar("T")

_NONE = 1  # the number -1 as it is written


def cut(batch: Any, partition: int) -> Records | None:
    """Return the records of a batch that is not compressed (any more); None where it does not add up.

    Parameters
    ----------
    batch
        The client's, of format 2: its records are in ``_buffer`` from ``_pos`` on.
    partition
        That it is of.
    """
    reading = _Reading()
    content = bytes(memoryview(batch._buffer)[batch._pos :])
    try:
        end = reading.read(content, batch._num_records)
    except (IndexError, ValueError):
        return None
    if end != len(content):
        return None
    count = len(reading.values)
    if batch.timestamp_type:  # the broker's own: one for all
        appended = np.full(count, batch.max_timestamp, np.int64)
    else:
        appended = np.array(reading.times, np.int64) + batch.first_timestamp
    return Records(
        np.full(count, partition, np.int32),
        np.array(reading.offsets, np.int64) + batch.base_offset,
        appended,
        reading.values,
        reading.column(reading.keys, None),
        reading.column(reading.headers, ()),
    )


class _Reading:
    """The records of one batch, as lists in the making.

    Attributes
    ----------
    values
        The messages; None is a tombstone.
    offsets, times
        Of each record, after the batch's first.
    keys, headers
        Index of a record → what it has, where it has any.
    """

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.offsets: list[int] = []
        self.times: list[int] = []
        self.keys: dict[int, bytes | None] = {}
        self.headers: dict[int, Headers] = {}

    def read(self, content: bytes, count: int) -> int:
        """Read `count` records from the beginning of `content`; return where they end.

        Raises
        ------
        ValueError, IndexError
            They are not what a batch holds.
        """
        place = 0
        values, times, offsets = self.values.append, self.times.append, self.offsets.append
        for index in range(count):
            length, place = _number(content, place)
            end = place + length
            # After a byte of attributes, of which there are none.
            time, place = _number(content, place + 1)
            offset, place = _number(content, place)
            size = content[place]
            if size == _NONE:
                place += 1
            else:
                size, place = _number(content, place)
                self.keys[index] = content[place : place + size]
                place += size
            size, place = _number(content, place)
            if size >= 0:
                stop = place + size
                values(content[place:stop])
                place = stop
            else:
                values(None)
            if content[place]:
                self.headers[index], place = _headers(content, place)
            else:
                place += 1
            if place != end:
                raise ValueError(f"record {index} ends at {place}, not at {end}")
            times(time)
            offsets(offset)
        return place

    def column(self, found: Mapping[int, T], other: T) -> list[T] | None:
        """Return what was found for each record, or `other`; None where nothing was for any."""
        return [found.get(index, other) for index in range(len(self.values))] if found else None


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Return the number at `place` and where it ends: groups of seven bits, least significant first, sign last."""
    number = content[place]
    if number < 128:
        return (number >> 1) ^ -(number & 1), place + 1
    group = content[place + 1]
    if group < 128:
        number += (group << 7) - 128
        return (number >> 1) ^ -(number & 1), place + 2
    number, shift = number & 127, 0
    while group > 127:
        place, shift = place + 1, shift + 7
        number |= (group & 127) << shift
        group = content[place + 1]
    number |= group << shift + 7
    return (number >> 1) ^ -(number & 1), place + 2


def _headers(content: bytes, place: int) -> tuple[Headers, int]:
    """Return the headers at `place` and where they end; as from the client, a value that is missing is None."""
    count, place = _number(content, place)
    headers = []
    for _ in range(count):
        size, place = _number(content, place)
        name = content[place : place + size].decode()
        size, place = _number(content, place + size)
        headers.append((name, content[place : place + size] if size >= 0 else None))
        place += max(0, size)
    return cast("Headers", headers), place
