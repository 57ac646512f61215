"""Producing to a Kafka topic: acknowledged by all replicas in sync when it returns.

On the path it stands between the events endpoint and the topic, where the source is Kafka.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, errors

from consumers.errors import AppendFailed, ConsumerError, RecordTooLarge, SourceUnavailable
from consumers.kafka_client import connect
from consumers.kafka_options import KafkaOptions
from consumers.source import NewRecord

IDEMPOTENCY_HEADER = "idempotency-key"

_ERRORS = (errors.KafkaError, OSError, RuntimeError, ValueError)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)

# What a record takes on its way beside key, value and headers, with room to spare.
_RECORD_OVERHEAD = 128


class KafkaSink:
    """Appends to a Kafka topic. May be shared by threads. Connects at the first append, not before.

    Two promises of :class:`~consumers.source.Sink` are weaker here. *All or none*: records go to several partitions and
    batches, so some may be durable where others are not, and AppendFailed names the latter; those may be in the topic
    all the same, and appending them again may put them there twice. *Idempotency keys*: the key goes into the header
    ``idempotency-key`` of each record, and the answer is always True; whoever needs a retry to be safe has to remember
    keys where it can.

    Parameters
    ----------
    options
        How to reach the cluster.
    topic
        The topic; it must exist.
    """

    def __init__(self, options: KafkaOptions, topic: str) -> None:
        self._options = options
        self._topic = topic
        self._lock = threading.Lock()
        self._producer: Any = None
        self._closed = False

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        """Append `records`; when this returns, each of them is acknowledged by all replicas in sync.

        Records with a key go where all records with that key go, others anywhere.

        Raises
        ------
        AppendFailed
            At least one record was not acknowledged in time.
        RecordTooLarge
            A record is larger than the topic takes.
        SourceUnavailable, TopicMissing
            Nothing was sent.
        """
        for record in records:
            self._check_size(record)
        producer = self._connected()
        give_up = time.monotonic() + self._options.delivery_timeout
        mark = [] if idempotency_key is None else [(IDEMPOTENCY_HEADER, idempotency_key.encode())]
        failed: dict[int, Exception] = {}
        sent: list[Any] = []
        try:
            for record in records:
                headers = [*record.headers, *mark]
                sent.append(producer.send(self._topic, value=record.value, key=record.key, headers=headers))
        except _ERRORS as error:
            failed = dict.fromkeys(range(len(sent), len(records)), error)
        for index, future in enumerate(sent):
            try:
                future.get(max(0.0, give_up - time.monotonic()))
            except _ERRORS as error:
                failed[index] = error
        if failed:
            raise self._failure(producer, failed, len(records))
        return True

    def close(self) -> None:
        """Send what waits and let go of connections. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            if self._producer is not None:
                self._producer.close(timeout=5)
                self._producer = None

    def _check_size(self, record: NewRecord) -> None:
        """Refuse a record that the broker would refuse: that would leave the producer of no use to others."""
        size = len(record.value) + len(record.key or b"") + _RECORD_OVERHEAD
        size += sum(len(name.encode()) + len(value) + 10 for name, value in record.headers)
        if size > self._options.max_message_bytes:
            raise RecordTooLarge(
                f"a record of {size} bytes is too large for topic {self._topic}; nothing was appended. Split it, or "
                f"raise max_message_bytes here and max.message.bytes of the topic"
            )

    def _connected(self) -> Any:
        """Return the producer, which is made at the first call and after a failure."""
        with self._lock:
            if self._closed:
                raise SourceUnavailable(f"this sink of topic {self._topic} was closed: open a new one")
            if self._producer is None:
                self._producer = self._connect()
            return self._producer

    def _connect(self) -> Any:
        producer, cluster = connect(KafkaProducer, self._options, self._settings())
        try:
            cluster.find(self._topic, self._options)
        except ConsumerError:
            producer.close(timeout=1)
            raise
        return producer

    def _settings(self) -> dict[str, Any]:
        """Return what a producer needs beside address and credentials."""
        delivery_ms = int(self._options.delivery_timeout * 1000)
        return {
            "acks": "all",
            "delivery_timeout_ms": delivery_ms,
            # Leaves time for a second attempt within the delivery timeout.
            "request_timeout_ms": delivery_ms // 2,
            "max_block_ms": int(self._options.connect_timeout * 1000),
            "max_request_size": self._options.max_message_bytes,
            "metrics_enabled": False,
        }

    def _failure(self, producer: Any, failed: Mapping[int, Exception], count: int) -> AppendFailed:
        """Return what to raise where `failed` of `count` records met an error."""
        for error in failed.values():
            self._forget(producer, error)
        which = sorted(failed) if len(failed) < count else None
        too_large = next((error for error in failed.values() if isinstance(error, _TOO_LARGE)), None)
        if too_large is not None:
            return RecordTooLarge(f"topic {self._topic} does not take a record of this size: {too_large}", which)
        return AppendFailed(
            f"{len(failed)} of {count} records were not acknowledged by {self._options.bootstrap_servers} within "
            f"{self._options.delivery_timeout:g} s: {next(iter(failed.values()))}. They may have been appended "
            f"all the same",
            which,
        )

    def _forget(self, producer: Any, error: Exception) -> None:
        """Drop a producer that an error has left of no use; the next append makes another."""
        if isinstance(error, errors.RetriableError):
            return
        with self._lock:
            known = self._producer is producer
            if known:
                self._producer = None
        if known:
            producer.close(timeout=0)
