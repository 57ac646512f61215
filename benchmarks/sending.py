"""Sends events at a steady rate: ``python -m benchmarks.sending ADDRESS TOPIC RATE TOTAL``, a program of its own.

On its own, so that what it costs does not delay whoever watches. Each event's timestamp is the moment of its sending.
"""

import itertools
import sys
import time

from confluent_kafka import Producer

from benchmarks.topics import PARTITIONS, events

_DIFFERENT_EVENTS = 20_000

_STEP_SECONDS = 0.001
"""Events that are due within it are sent together."""

_SETTINGS = {"linger.ms": 1, "queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 1_048_576}


def send(address: str, topic: str, rate: float, total: int) -> None:
    """Send `total` events, spread over the partitions.

    Raises
    ------
    RuntimeError
        The broker did not take all of them within a minute of the last.
    """
    values = itertools.cycle(list(events(min(total, _DIFFERENT_EVENTS))))
    producer = Producer({"bootstrap.servers": address, **_SETTINGS})
    began = time.perf_counter()
    sent = 0
    while sent < total:
        due = min(total, int((time.perf_counter() - began) * rate) + 1)
        for number in range(sent, due):
            producer.produce(topic, next(values), partition=number % PARTITIONS)
        sent = due
        producer.poll(0)
        time.sleep(max(_STEP_SECONDS, began + sent / rate - time.perf_counter()))
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"the broker did not take {left} events")


if __name__ == "__main__":
    send(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
