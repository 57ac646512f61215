"""What is librdkafka's own, against a real broker: it fetches ahead, and cannot read all that kafka-python can."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from kafka import KafkaProducer

from consumers.errors import PositionLost
from consumers.kafka import KafkaReader
from consumers.librdkafka_fetching import LibrdkafkaFetcher
from consumers.source import NewRecord, Record
from tests.support.topics import KafkaTopic, numbered, read, values


@pytest.fixture
def topic(kafka_broker: str) -> KafkaTopic:
    return KafkaTopic(kafka_broker, partitions=2, client="librdkafka")


@pytest.fixture
def reader(topic: KafkaTopic) -> Iterator[KafkaReader]:
    opened = KafkaReader(topic.options, topic.name, None, {})
    yield opened
    opened.close()


class NoText(str):
    """A name that is no text on its way into the topic."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfeme"


def test_what_is_beyond_what_was_fetched_ahead_is_lost_with_an_error(topic: KafkaTopic) -> None:
    """Else retention that is faster than a trainer has events skipped in silence: librdkafka resets by default."""
    little = {"queued.min.messages": 1, "max.partition.fetch.bytes": 1, "fetch.queue.backoff.ms": 1}
    reader = KafkaReader(replace(topic.options, librdkafka=little), topic.name, None, {})
    with KafkaProducer(bootstrap_servers=topic.address, batch_size=1) as producer:
        for number in range(20):
            producer.send(topic.name, b"%d" % number, partition=0)
            producer.flush()
    got: list[Record] = read(reader, 1)
    topic.forget(0, 20)
    topic.append(0, numbered(20))
    with pytest.raises(PositionLost, match="retention was faster"):
        got.extend(record for _ in range(40) for record in reader.poll(100, 1.0))
    assert values(got) == list(range(len(got)))
    with pytest.raises(PositionLost):
        reader.poll(1, 0.0)
    reader.close()


def test_a_header_that_librdkafka_cannot_read_costs_nothing(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else one record with a strange header stops a model, or takes those around it along, or doubles them."""
    topic.append(1, numbered(*range(100, 120)))
    topic.append(0, [*numbered(0, 1), NewRecord(b"2", headers=((NoText("name"), b"x"),)), *numbered(3, 4)])
    got = read(reader, 25)
    topic.append(0, numbered(5))
    got += read(reader, 1)
    assert (values(got, 0), values(got, 1)) == (list(range(6)), list(range(100, 120)))
    assert list(got[[each.value for each in got].index(b"2")].headers) == [("??me", b"x")]
    assert isinstance(reader._fetcher, LibrdkafkaFetcher)
    assert not reader._fetcher._aside


def test_a_partition_that_stands_still_has_the_client_made_anew(topic: KafkaTopic) -> None:
    """Else a client that has lost track of a partition starves the trainer until somebody looks."""
    reader = KafkaReader(topic.options, topic.name, None, {}, stalled_after=0.3)
    topic.append(1, numbered(1))
    read(reader, 1)
    assert isinstance(reader._fetcher, LibrdkafkaFetcher)
    reader._fetcher._consumer.pause([TopicPartition(topic.name, 1)])
    topic.append(1, numbered(2, 3))
    assert values(read(reader, 2)) == [2, 3]
    reader.close()


def test_an_empty_partition_whose_records_were_deleted_does_not_lag(topic: KafkaTopic) -> None:
    """Else a quiet topic has the trainer connect again and again."""
    topic.append(0, numbered(*range(5)))
    topic.forget(0, 5)
    options = replace(topic.options, librdkafka={"fetch.wait.max.ms": 50})
    reader = KafkaReader(options, topic.name, None, {}, stalled_after=0.3)
    assert list(reader.poll(10, 0.5)) == []
    fetcher = reader._fetcher
    assert list(reader.poll(10, 1.0)) == []
    assert reader._fetcher is fetcher
    reader.close()
