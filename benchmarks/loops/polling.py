"""Polls of kafka-python, for the loops that read with it."""

from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition

DEFAULT_RECORDS = 500
"""Records a poll returns at most, by kafka-python's own default."""


def polls(address: str, topic: str, records: int = DEFAULT_RECORDS) -> Iterator[list[Any]]:
    """Yield records, as they come, from the beginning of a topic until the caller has enough."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, max_poll_records=records)
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while True:
            yield from consumer.poll(timeout_ms=1000).values()
    finally:
        consumer.close()
