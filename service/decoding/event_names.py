"""Digests of what events are called and of who they come from: for whoever tells duplicates and sources apart.

On the path it stands beside the examination of decoded events; it is asked only where the configuration wants digests.
Whether events were decoded many at once or one by one, they come here as the same table, so that an event's digests
never depend on the way it took.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.decoding.array_columns import python_values
from service.decoding.record_batch import RecordBatch
from service.decoding.table import Table
from service.settings.event_options import RECORD_KEY, EventOptions

_KIND = b"example"
"""What is named: an observation and its label have the digest of the example that they are together."""

_ID_BYTES, _SOURCE_BYTES = 16, 8
_LARGEST = 1e300  # of a number that names a source


def ids_of(
    table: Table, options: EventOptions, batch: RecordBatch, *, joined: bool = False
) -> NDArray[np.uint64] | None:
    """Return digests of the events' ids, uint64, shape (rows, 2): zeros for none; None where nobody asks for them.

    Those ask who compare with events before, and those who have labels `joined` to observations. A text and a number
    are two ids though they may look the same. Where the record's key is the id, each event of a message of several is
    named by the key and its place in the message.
    """
    if not (options.dedup_window or joined):
        return None
    if options.id == RECORD_KEY:
        names = [
            None if key is None else key + b"\0%d" % event
            for key, event in zip(_keys(table, batch), table.origins.events.tolist(), strict=True)
        ]
    else:
        ids = table.parts["id"]
        names = list(map(_text, ids)) if set(map(type, ids)) == {str} else [_id(value) for value in ids]
    return _digests(names, _ID_BYTES).reshape(-1, 2)


def sources_of(table: Table, options: EventOptions, batch: RecordBatch) -> NDArray[np.uint64] | None:
    """Return digests of who the events come from, uint64, shape (rows,): 0 for nobody; None where nobody asks."""
    if options.source is None:
        return None
    if options.source == RECORD_KEY:
        return _digests(_keys(table, batch), _SOURCE_BYTES)
    column = table.features.get(options.source)
    names = [None] * len(table) if column is None else [_source(value) for value in python_values(column)]
    return _digests(names, _SOURCE_BYTES)


def _keys(table: Table, batch: RecordBatch) -> list[bytes | None]:
    keys = batch.records.keys
    return [None] * len(table) if keys is None else [keys[record] for record in table.origins.records.tolist()]


def _id(value: Any) -> bytes | None:
    """Return an id as bytes; None for none, and for what is no id: such an event is refused."""
    if type(value) is str:
        return _text(value)
    return b"i%d" % value if type(value) is int else None


def _text(value: str) -> bytes:
    return b"s" + value.encode("utf-8", "surrogatepass")


def _source(value: Any) -> bytes | None:
    """Return the value of a feature as bytes; None where it is missing, and for lists."""
    if type(value) is str:
        return b"s" + value.encode("utf-8", "surrogatepass")
    # As floats, for the typed decoder has numbers as floats; and 0 is -0.
    return (
        b"n" + repr(value / 1 + 0.0).encode() if type(value) in (float, int, bool) and abs(value) < _LARGEST else None
    )


def _digests(names: Sequence[bytes | None], size: int) -> NDArray[np.uint64]:
    """Return the words of all digests, one after the other; zeros for None."""
    blank = bytes(size)
    hashed = [blank if name is None else blake2b(name, digest_size=size, person=_KIND).digest() for name in names]
    return np.frombuffer(b"".join(hashed), "<u8").astype(np.uint64, copy=False)
