"""Records of events, for tests of decoding."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from consumers.source import StoredRecord
from models.answered import Answered
from service.decoding.decoded import DecodedEvents
from service.events import EventDecoder
from service.settings.event_options import EventOptions

NDJSON = (("content-type", b"application/x-ndjson"),)
ARROW = (("content-type", b"application/vnd.apache.arrow.stream"),)
ENVELOPE = EventOptions()


def record(
    value: Any, offset: int = 0, partition: int = 0, headers: Sequence[tuple[str, bytes]] = (), key: bytes | None = None
) -> StoredRecord:
    """Return a record of bytes as they are, or of anything else as JSON; None is a tombstone."""
    encoded = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return StoredRecord(partition, offset, 1_763_683_200_000 + offset, key, encoded, tuple(headers))


def records(*values: Any) -> list[StoredRecord]:
    """Return records of one partition, at consecutive offsets."""
    return [record(value, offset) for offset, value in enumerate(values)]


def arrow_stream(table: pa.Table, compression: str | None = None) -> bytes:
    """Return a table as an Arrow IPC stream, in batches of 100 rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=100)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def decode(*values: Any, options: EventOptions = ENVELOPE) -> DecodedEvents:
    """Decode messages with a fresh decoder."""
    return EventDecoder(options, {}).decode(records(*values))


def reasons(decoded: DecodedEvents) -> list[tuple[int, int, str]]:
    """Return offset, index and reason of each rejected event."""
    return [(each.offset, each.index, each.reason) for each in decoded.rejected]


def seen(decoded: DecodedEvents) -> dict[str, Any]:
    """Return all that decoding gave, in a form that can be compared; NaN as text."""
    examples, track = decoded.examples, decoded.track
    return {
        "keys": examples.features.keys,
        "numbers": examples.features.numbers.tobytes(),
        "categories": {name: list(column) for name, column in examples.features.categories.items()},
        "tokens": {name: list(column) for name, column in examples.features.tokens.items()},
        "labels": [(type(label), label) for label in examples.labels],
        "weights": examples.weights.tolist(),
        "timestamps": list(map(str, examples.timestamps.tolist())),
        "names": [None if names is None else names.tolist() for names in (examples.ids, examples.sources)],
        "marks": [None if marks is None else marks.tolist() for marks in (examples.labelled, examples.featured)],
        "answered": _answered(examples.answered),
        "positions": (dict(decoded.positions), track.positions()),
        "next": (track.next_offsets.tolist(), track.next_events.tolist(), track.sizes.tolist()),
        "rejected": decoded.rejected,
        "counts": (decoded.events, decoded.unlabelled),
    }


def _answered(answered: Answered | None) -> Any:
    if answered is None:
        return None
    rows = zip(answered.versions.tolist(), answered.probabilities.tolist(), map(str, answered.values), strict=True)
    return answered.classes, list(rows)
