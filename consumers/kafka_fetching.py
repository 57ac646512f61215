"""Fetching records of partitions: what differs from one client of Kafka to another, and how kafka-python does it.

On the path it stands within :class:`~consumers.kafka_reader.KafkaReader`, which does everything that does not depend on
the client: finding the topic, checking that it holds what is to be read, noticing what changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from kafka import TopicPartition
from kafka.errors import KafkaError

from consumers.kafka_batches import in_pieces, read_in_batches
from consumers.kafka_client import reading_error
from consumers.kafka_options import KafkaOptions
from consumers.records import Records
from consumers.source import Record

CLIENT_ERRORS = (KafkaError, OSError, RuntimeError, ValueError)
"""What kafka-python raises where something is wrong with the cluster, the topic or a record."""


class Reached(NamedTuple):
    """How far a partition was fetched: the offset that comes next, and the epoch of the leader that gave its last."""

    offset: int
    epoch: int


class Fetched(NamedTuple):
    """Records, and how far each partition that gave some has come."""

    records: Sequence[Record]
    reached: Mapping[int, Reached]


class Fetcher(Protocol):
    """Fetches records of one topic. Owned by one thread."""

    def start(self, offsets: Mapping[int, int | None]) -> None:
        """Fetch these partitions and no other, from their offsets on; from the earliest record where that is None."""

    def add(self, partitions: Iterable[int]) -> None:
        """Fetch further partitions, from their earliest record."""

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first.

        Raises
        ------
        ConsumerError
            What it means to a reader; see :meth:`consumers.source.Reader.poll`.
        """

    def end(self, partition: int) -> int | None:
        """Return the offset after the last record of a partition, as last heard of; never waits for the network."""

    def position(self, partition: int) -> int:
        """Return the offset that is fetched next: beyond what gives no record, such as aborted transactions."""

    def close(self) -> None:
        """Let go of connections. Closing twice is harmless."""


class PythonFetcher:
    """Fetches with a consumer of kafka-python; see :class:`Fetcher`.

    Parameters
    ----------
    consumer
        kafka-python's; closed by whoever made it.
    topic
        The topic.
    options
        How to reach the cluster, for what errors say.
    """

    def __init__(self, consumer: Any, topic: str, options: KafkaOptions) -> None:
        read_in_batches(consumer)
        self._consumer = consumer
        self._topic = topic
        self._options = options
        self._partitions: frozenset[int] = frozenset()

    def start(self, offsets: Mapping[int, int | None]) -> None:
        """See :meth:`Fetcher.start`."""
        if not offsets:
            # Without any, the client would forget the topic, and no longer hear of it.
            self._consumer.pause(*map(self._named, self._partitions))
            return
        self._assign(frozenset(offsets))
        self._consumer.resume(*map(self._named, offsets))
        for partition, offset in offsets.items():
            if offset is None:
                self._consumer.seek_to_beginning(self._named(partition))
            else:
                self._consumer.seek(self._named(partition), offset)

    def add(self, partitions: Iterable[int]) -> None:
        """See :meth:`Fetcher.add`."""
        new = frozenset(partitions)
        self._assign(self._partitions | new)
        self._consumer.seek_to_beginning(*map(self._named, new))

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """See :meth:`Fetcher.fetch`."""
        try:
            polled = self._consumer.poll(timeout_ms=timeout * 1000, max_records=max_records)
        except CLIENT_ERRORS as error:
            raise reading_error(error, self._topic, self._options) from error
        if not polled:
            return Fetched((), {})
        reached, pieces = {}, []
        for topic_partition, found in polled.items():
            *_, (last, epoch) = taken = list(in_pieces(found))
            reached[topic_partition.partition] = Reached(int(last.offsets[-1]) + 1, epoch)
            pieces += [piece for piece, _ in taken]
        return Fetched(Records.concatenate(pieces), reached)

    def end(self, partition: int) -> int | None:
        """See :meth:`Fetcher.end`."""
        end: int | None = self._consumer.highwater(self._named(partition))
        return end

    def position(self, partition: int) -> int:
        """See :meth:`Fetcher.position`."""
        return self._consumer.position(self._named(partition), timeout_ms=0) or 0

    def close(self) -> None:
        """See :meth:`Fetcher.close`; the consumer is another's."""

    def _assign(self, partitions: frozenset[int]) -> None:
        self._partitions = partitions
        self._consumer.assign(list(map(self._named, partitions)))

    def _named(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


def librdkafka_fetcher(careful: Fetcher, topic: str, options: KafkaOptions, group_id: str | None) -> Fetcher:
    """Return what fetches with librdkafka; see :class:`consumers.librdkafka_fetching.LibrdkafkaFetcher`.

    Raises
    ------
    SourceUnavailable
    ConsumerError
        It is not installed, or the settings are not right.
    """
    # Only here: it is an extra, and few installations have it.
    from consumers.librdkafka_fetching import LibrdkafkaFetcher  # noqa: PLC0415

    return LibrdkafkaFetcher(careful, topic, options, group_id)
