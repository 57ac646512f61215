"""librdkafka's bare consume (confluent-kafka): the client's own rate, at which nothing is done with what was read.

As its documentation has it, each message is asked whether it is an error, and for its value, which a poll of
kafka-python's has in hand already.
"""

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
        going = True
        while going:
            values = [each.value() for each in consumer.consume(_MESSAGES, timeout=1.0) if each.error() is None]
            going = meter.add(len(values))
    finally:
        consumer.close()
