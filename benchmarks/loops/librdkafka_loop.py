"""librdkafka's bare consume (confluent-kafka): the client's own rate, at which nothing is done with the messages."""

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.loops.meter import Meter

_MESSAGES = 2000
"""A call."""


def run(address: str, topic: str, meter: Meter) -> None:
    """Read only."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        while meter.add(len(consumer.consume(_MESSAGES, timeout=1.0))):
            pass
    finally:
        consumer.close()
