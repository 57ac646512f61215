"""Where replayed events go. A batch is durable when `send` returns. A server as a target is in ``replay_http.py``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from consumers.source import NewRecord, Sink

Format = Literal["json", "ndjson"]

CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a batch: how many events were taken, and how many were not, by reason."""

    accepted: int
    rejected: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Delivered") -> "Delivered":
        reasons = {**self.rejected}
        for reason, count in other.rejected.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return Delivered(self.accepted + other.accepted, reasons)


class Target(Protocol):
    """Takes events."""

    def send(self, events: Sequence[bytes]) -> Delivered:
        """Deliver `events`, JSON objects without line breaks, in order; durable when it returns.

        Raises
        ------
        DeliveryFailed, ConsumerError
        """

    def close(self) -> None:
        """Let go of connections."""


class SinkTarget:
    """Appends events to a sink, such as a Kafka topic: one a message, or a batch a message as lines.

    Parameters
    ----------
    sink
        Closed together with this.
    form
        ``json``: a message holds one event, with its id for a key. ``ndjson``: a message holds all events of a batch.
    """

    def __init__(self, sink: Sink, form: Format = "json") -> None:
        self._sink = sink
        self._form = form

    def send(self, events: Sequence[bytes]) -> Delivered:
        """Deliver `events`; see :class:`Target`."""
        if self._form == "ndjson":
            content_type = (("content-type", CONTENT_TYPES["ndjson"].encode()),)
            records = [NewRecord(b"\n".join(events), None, content_type)]
        else:
            records = [NewRecord(event, _key(event)) for event in events]
        self._sink.append(records)
        return Delivered(len(events))

    def close(self) -> None:
        """Flush and let go of connections."""
        self._sink.close()


class _WithId(msgspec.Struct):
    id: Any = None


_decode_id = msgspec.json.Decoder(_WithId).decode


def _key(event: bytes) -> bytes | None:
    """Return the event's id as a key, so that an observation and its label go into one partition."""
    found = _decode_id(event).id
    return str(found).encode() if isinstance(found, str | int) else None
