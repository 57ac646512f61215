"""One topic of each transport, behind the same few functions: what the contract tests of sources and sinks run on."""

import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kafka import KafkaProducer, TopicPartition

from consumers.kafka import KafkaOptions, KafkaSink, KafkaSource
from consumers.log import LogSink, LogSource
from consumers.source import NewRecord, Positions, Reader, Record, Sink, Source
from consumers.testing import MemorySink, MemorySource
from tests.support.broker import admin, create_topic


class Topic(Protocol):
    """A topic of some transport, empty at first."""

    partitions: int

    @property
    def source(self) -> Source:
        """The topic as a source."""

    def append(self, partition: int, records: Sequence[NewRecord]) -> None:
        """Append to a partition."""

    def forget(self, partition: int, before: int) -> None:
        """Delete the records before an offset."""

    def sink(self) -> Sink:
        """Return a sink of the topic."""


class MemoryTopic:
    """A topic in memory."""

    partitions = 3

    def __init__(self) -> None:
        self.source = MemorySource({0: (), 1: (), 2: ()})

    def append(self, partition: int, records: Sequence[NewRecord]) -> None:
        self.source.append(partition, *records)

    def forget(self, partition: int, before: int) -> None:
        self.source.forget(partition, before)

    def sink(self) -> Sink:
        return MemorySink(self.source)


class LogTopic:
    """A topic of the embedded log."""

    partitions = 1

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log" / "events.sqlite"
        self.source = LogSource(self.path)

    def append(self, partition: int, records: Sequence[NewRecord]) -> None:
        assert partition == 0
        sink = LogSink(self.path)
        sink.append(records)
        sink.close()

    def forget(self, partition: int, before: int) -> None:
        assert partition == 0
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute("DELETE FROM records WHERE id <= ?", (before,))
        connection.close()

    def sink(self) -> Sink:
        return LogSink(self.path)


class KafkaTopic:
    """A topic of a Kafka broker, read with one of the clients."""

    def __init__(self, address: str, partitions: int = 3, client: str = "kafka-python") -> None:
        self.address = address
        self.partitions = partitions
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.options = KafkaOptions(bootstrap_servers=address, client=client)
        self.source = KafkaSource(self.options, self.name, group_id=f"group-{self.name}")
        create_topic(address, self.name, partitions)

    def append(self, partition: int, records: Sequence[NewRecord]) -> None:
        with KafkaProducer(bootstrap_servers=self.address, acks="all") as producer:
            for record in records:
                producer.send(
                    self.name, record.value, key=record.key, headers=list(record.headers), partition=partition
                )

    def forget(self, partition: int, before: int) -> None:
        with admin(self.address) as client:
            client.delete_records({TopicPartition(self.name, partition): before}, timeout_ms=15_000)

    def sink(self) -> Sink:
        return KafkaSink(self.options, self.name)


def numbered(*numbers: int) -> list[NewRecord]:
    """Return records whose values are `numbers`."""
    return [NewRecord(str(number).encode()) for number in numbers]


def read(reader: Reader, count: int, timeout: float = 30.0, at_once: int = 1_000) -> list[Record]:
    """Poll until there are `count` records, or `timeout` seconds bring nothing."""
    records: list[Record] = []
    while len(records) < count:
        polled = reader.poll(min(at_once, count - len(records)), timeout)
        if not polled:
            break
        records += polled
    return records


def read_all(source: Source, positions: Positions, count: int) -> list[Record]:
    """Open, read `count` records and close."""
    reader = source.open(positions)
    try:
        return read(reader, count)
    finally:
        reader.close()


def read_rest(source: Source, positions: Positions | None = None) -> list[Record]:
    """Open a source that has no network between, read all that it holds now, and close."""
    reader = source.open(positions or {})
    records: list[Record] = []
    while polled := reader.poll(10_000, 0.0):
        records += polled
    reader.close()
    return records


def values(records: Sequence[Record], partition: int | None = None) -> list[int]:
    """Return the numbers that `records` (of one partition) hold."""
    return [int(each.value or b"") for each in records if partition is None or each.partition == partition]
