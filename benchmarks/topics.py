"""Topics to measure on: JSON events of ten numbers and a category, about 190 bytes each, which can be learned."""

import uuid
from collections.abc import Iterator

import msgspec
import numpy as np
from kafka import KafkaProducer

from tests.support.broker import create_topic

PARTITIONS = 4

CITIES = [f"city-{number}" for number in range(50)]


def events(count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield events with a label that a linear model can learn."""
    random = np.random.default_rng(seed)
    encode = msgspec.json.Encoder().encode
    weights = random.normal(size=10)
    for start in range(0, count, 10_000):
        rows = min(10_000, count - start)
        numbers = random.normal(size=(rows, 10)).round(4)
        labels = numbers @ weights > 0
        cities = random.integers(len(CITIES), size=rows)
        for row in range(rows):
            features: dict[str, float | str] = {f"n{index}": value for index, value in enumerate(numbers[row].tolist())}
            features["city"] = CITIES[cities[row]]
            yield encode({"features": features, "label": "yes" if labels[row] else "no"})


def new_topic(address: str) -> str:
    """Create an empty topic and return its name."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    create_topic(address, topic, PARTITIONS, None)
    return topic


def filled_topic(address: str, count: int) -> str:
    """Create a topic with `count` events spread evenly over its partitions, and return its name."""
    topic = new_topic(address)
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=50, batch_size=262_144)
    for number, value in enumerate(events(count)):
        producer.send(topic, value=value, partition=number % PARTITIONS)
    producer.flush()
    producer.close()
    return topic
