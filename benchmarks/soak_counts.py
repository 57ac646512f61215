"""What a topic with one event a message holds by its own word: how many events, and the checksum of all of them."""

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from numpy.typing import NDArray

_AT_ONCE = 1_000_000


def ends_of(address: str, topic: str, partitions: int) -> dict[int, int]:
    """Return partition → offset after its last record."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    try:
        ends = consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
    finally:
        consumer.close()
    return {each.partition: end for each, end in ends.items()}


def checksum_of(ends: dict[int, int]) -> str:
    """Return the checksum of all events before `ends`, each in a message of its own, as 16 hexadecimal digits.

    Computed from the definition (see :meth:`consumers.track.Track.checksum`), not by the code that is under test.
    """
    total = 0
    for partition, end in ends.items():
        of_partition = _mixed(np.array([partition], np.uint64))
        for start in range(0, end, _AT_ONCE):
            next_offsets = np.arange(start + 1, min(start + _AT_ONCE, end) + 1, dtype=np.uint64)
            # A message of one event is passed by it, so that the next event is number 0 of the next message.
            total += int(_mixed(_mixed(of_partition + next_offsets)).sum(dtype=np.uint64))
    return f"{total % 2**64:016x}"


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a step of SplitMix64 of each value."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
