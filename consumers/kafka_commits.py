"""Committing offsets to Kafka, for lag tools only.

Off the path: in a thread and a client of its own. With a group id the consumer that reads would ask its I/O thread
about the group's coordinator in each poll, which takes a third of its rate, and would not read while there is none.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from consumers.errors import ConsumerError
from consumers.kafka_client import close_consumer, connect
from consumers.kafka_options import KafkaOptions

log = logging.getLogger(__name__)

_COMMIT_TIMEOUT_MS = 2_000
_CLOSE_SECONDS = 4.0


class OffsetCommitter:
    """Commits the newest offsets that it was given. May be shared by threads; nothing of it raises or waits.

    Parameters
    ----------
    options
        How to reach the cluster.
    topic
        The topic.
    group_id
        The group under whose name lag tools look.
    """

    def __init__(self, options: KafkaOptions, topic: str, group_id: str) -> None:
        self._options = options
        self._topic = topic
        self._group_id = group_id
        self._newest: Mapping[int, OffsetAndMetadata] | None = None
        self._wake = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._consumer: Any = None
        self._failing = False

    def submit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        """Have `offsets` (by partition) committed soon; later ones replace those that still wait."""
        with self._wake:
            if self._closed:
                return
            self._newest = offsets
            if self._thread is None:
                name = f"commit-{self._topic}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Commit what still waits, within a few seconds, and close. Closing twice is harmless."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._newest is not None or self._closed)
                offsets, self._newest = self._newest, None
            if offsets is None:
                break
            self._commit({TopicPartition(self._topic, number): offset for number, offset in offsets.items()})
        self._drop()

    def _commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        try:
            if self._consumer is None:
                settings = {"group_id": self._group_id, "enable_auto_commit": False, "metrics_enabled": False}
                self._consumer, _ = connect(KafkaConsumer, self._options, settings)
            self._consumer.commit(offsets, timeout_ms=_COMMIT_TIMEOUT_MS)
        except (KafkaError, ConsumerError, OSError, RuntimeError) as error:
            # One line for the operator, not one for each attempt.
            if not self._failing:
                log.warning("offsets of group %s cannot be committed (learning goes on): %s", self._group_id, error)
            self._failing = True
            self._drop()
        else:
            if self._failing:
                log.info("offsets of group %s are committed again", self._group_id)
            self._failing = False

    def _drop(self) -> None:
        """Close the client; the next commit makes another."""
        if self._consumer is not None:
            close_consumer(self._consumer)
            self._consumer = None
