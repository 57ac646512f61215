"""A decompression bomb in a real topic: a real broker takes it, and the reader survives it."""

from dataclasses import dataclass

import pytest
from kafka import KafkaProducer

from consumers.kafka_bounds import CONTENT_TYPE, MAXIMUM_BYTES
from tests.support.topics import KafkaTopic, numbered, read, values


@dataclass(frozen=True)
class Bomb:
    """A message that is small as long as it is compressed."""

    codec: str
    size: int = MAXIMUM_BYTES + (1 << 20)


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("bomb", [Bomb("zstd"), Bomb("gzip")], ids=lambda bomb: bomb.codec)
def test_a_bomb_costs_one_letter_and_its_neighbours_nothing(kafka_broker: str, bomb: Bomb, client: str) -> None:
    """Fails when a compressed batch that becomes gigabytes ends the reader, or stops it, or takes neighbours along."""
    topic = KafkaTopic(kafka_broker, client=client)
    topic.append(0, numbered(1))
    producer = KafkaProducer(
        bootstrap_servers=kafka_broker,
        compression_type=bomb.codec,
        max_request_size=2 * bomb.size,
        batch_size=2 * bomb.size,
    )
    try:
        producer.send(topic.name, bytes(bomb.size), partition=0).get(60)
    finally:
        producer.close()
    topic.append(0, numbered(2))
    reader = topic.source.open({})
    try:
        before, letter, after = read(reader, 3)
    finally:
        reader.close()
    assert values([before, after]) == [1, 2]
    assert (letter.offset, tuple(letter.headers)) == (1, (("content-type", CONTENT_TYPE.encode()),))
    assert b"becomes more than" in (letter.value or b"")
