"""Where replayed events go. A batch is durable when `send` returns. A server as a target is in ``replay_http.py``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from consumers.errors import RecordTooLarge
from consumers.source import NewRecord, Sink
from service.errors import DeliveryFailed
from service.replaying.message_forms import CONTENT_TYPES, Format, body_of


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
    """Appends events to a sink, such as a Kafka topic.

    Parameters
    ----------
    sink
        Closed together with this.
    form
        How a message is written down.
    per_message
        Events that it holds, at most. One that holds one event has its id for a key.
    write_avro
        Makes a message of an event in Avro; None where that is not the form.
    """

    def __init__(
        self,
        sink: Sink,
        form: Format = "json",
        per_message: int = 1,
        write_avro: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._sink = sink
        self._form: Format = form
        self._per_message = per_message
        self._write_avro = write_avro

    def send(self, events: Sequence[bytes]) -> Delivered:
        """Deliver `events`; see :class:`Target`."""
        parts = [events[start : start + self._per_message] for start in range(0, len(events), self._per_message)]
        try:
            self._sink.append([self._record(part) for part in parts])
        except RecordTooLarge as error:
            if self._per_message == 1:
                raise
            raise DeliveryFailed(
                f"{error} A message holds {self._per_message} events: send fewer, such as --events-per-message "
                f"{self._per_message // 2}"
            ) from None
        return Delivered(len(events))

    def _record(self, events: Sequence[bytes]) -> NewRecord:
        key = _key(events[0]) if self._per_message == 1 else None
        if self._form == "avro" and self._write_avro is not None:
            # Without a header, as other producers of Avro write it.
            return NewRecord(self._write_avro(events[0]), key)
        if self._form == "json" and self._per_message == 1:
            return NewRecord(events[0], key)
        return NewRecord(body_of(events, self._form), key, (("content-type", CONTENT_TYPES[self._form].encode()),))

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
