"""Topics to measure on: ten numbers and a category that can be learned, as JSON, as NDJSON or as Arrow messages.

What is sent is made beforehand or from a pool that goes round: what the producer costs is never measured, and it must
not take minutes either.
"""

import contextlib
import itertools
import uuid
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
import pyarrow as pa
from confluent_kafka import Producer
from kafka.errors import KafkaError

from tests.support.broker import create_topic, delete_topic

PARTITIONS = 4

CITIES = [f"city-{number}" for number in range(50)]

ROWS = 500
"""Events a message, where a message holds many."""

NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"

_AT_ONCE = 10_000
_PRODUCER = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 262_144,
}


def events(count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield events with a label that a linear model can learn, about 190 bytes of JSON each."""
    encode = msgspec.json.Encoder().encode
    for rows in event_rows(count, seed):
        yield from map(encode, rows)


def event_rows(count: int, seed: int = 0) -> Iterator[list[dict[str, object]]]:
    """Yield the same events as objects, many at a time, for other formats than JSON."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=10)
    names = [f"n{index}" for index in range(10)]
    for start in range(0, count, _AT_ONCE):
        rows = min(_AT_ONCE, count - start)
        numbers = random.normal(size=(rows, 10)).round(4)
        labels = numbers @ weights > 0
        cities = random.integers(len(CITIES), size=rows).tolist()
        yield [
            {"features": dict(zip(names, values, strict=True), city=CITIES[city]), "label": "yes" if label else "no"}
            for values, city, label in zip(numbers.tolist(), cities, labels.tolist(), strict=True)
        ]


def wide_events(count: int, features: int) -> Iterator[bytes]:
    """Yield events of so many numbers each, of which the first ten decide."""
    random = np.random.default_rng(0)
    encode = msgspec.json.Encoder().encode
    names = [f"f{index}" for index in range(features)]
    for _ in range(count):
        numbers = random.normal(size=features).round(4)
        label = "yes" if numbers[:10].sum() > 0 else "no"
        yield encode({"features": dict(zip(names, numbers.tolist(), strict=True)), "label": label})


def categorised_events(count: int, categories: int) -> Iterator[bytes]:
    """Yield events that also have a category of so many values, each of which comes before any comes again."""
    encode = msgspec.json.Encoder().encode
    step = 7_919  # a prime, so that neighbours in time are no neighbours by name
    numbers = itertools.chain.from_iterable(event_rows(count))
    for place, event in enumerate(numbers):
        features = event["features"]
        assert isinstance(features, dict)
        features["user"] = f"user-{place * step % categories}"
        yield encode(event)


def ndjson_messages(count: int) -> Iterator[bytes]:
    """Yield so many messages of :data:`ROWS` events each, as lines of JSON."""
    lines = events(count * ROWS)
    for _ in range(count):
        yield b"\n".join(itertools.islice(lines, ROWS))


def arrow_messages(count: int) -> Iterator[bytes]:
    """Yield so many messages of :data:`ROWS` events each, as Arrow IPC streams: a struct of features, and labels."""
    for rows in event_rows(count * ROWS):
        for start in range(0, len(rows), ROWS):
            batch = pa.RecordBatch.from_pylist(rows[start : start + ROWS])
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            yield sink.getvalue().to_pybytes()


def around(pool: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield `count` messages, those of a pool again and again: learning costs the same whatever was there before."""
    return itertools.islice(itertools.cycle(list(pool)), count)


def new_topic(address: str) -> str:
    """Create an empty topic and return its name."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    create_topic(address, topic, PARTITIONS, None)
    return topic


def filled_topic(address: str, count: int) -> str:
    """Create a topic with `count` events spread evenly over its partitions, and return its name."""
    return topic_of(address, events(count))


@contextlib.contextmanager
def temporary_topic(address: str, messages: Iterable[bytes], content_type: str = "") -> Iterator[str]:
    """Yield the topic of :func:`topic_of`, and delete it afterwards: a gigabyte is not to lie about until the end."""
    topic = topic_of(address, messages, content_type)
    try:
        yield topic
    finally:
        # Where that fails it goes with the broker; what was measured must not go with it.
        with contextlib.suppress(KafkaError):
            delete_topic(address, topic)


def topic_of(address: str, messages: Iterable[bytes], content_type: str = "") -> str:
    """Create a topic with `messages` spread evenly over its partitions, and return its name.

    Raises
    ------
    RuntimeError
        The broker did not take all of them within a minute of the last.
    """
    topic = new_topic(address)
    producer = Producer({"bootstrap.servers": address, **_PRODUCER})
    headers: list[tuple[str, str | bytes | None]] = [("content-type", content_type)] if content_type else []
    for number, value in enumerate(messages):
        while True:
            try:
                producer.produce(topic, value, partition=number % PARTITIONS, headers=headers)
                break
            except BufferError:  # full: wait until something has gone
                producer.poll(0.1)
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"the broker did not take {left} messages")
    return topic
