"""Kafka as a source and a sink; :mod:`consumers.kafka_reader` and :mod:`consumers.kafka_sink` do the work."""

from consumers.kafka_options import KafkaOptions
from consumers.kafka_reader import KafkaReader
from consumers.kafka_sink import KafkaSink
from consumers.source import ALL, Positions, Share

__all__ = ["KafkaOptions", "KafkaReader", "KafkaSink", "KafkaSource"]


class KafkaSource:
    """A topic of a Kafka cluster.

    Parameters
    ----------
    options
        How to reach the cluster.
    topic
        The topic; it must exist.
    group_id
        The group under whose name offsets are committed for lag tools; None to commit nothing.
    share
        The partitions that are read.
    """

    def __init__(self, options: KafkaOptions, topic: str, group_id: str | None = None, share: Share = ALL) -> None:
        self._options = options
        self._topic = topic
        self._group_id = group_id
        self._share = share

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic

    def open(self, positions: Positions, identity: str = "") -> KafkaReader:
        """Return a reader of the partitions that starts at `positions`; it belongs to the thread that polls it.

        Raises
        ------
        SourceUnavailable, TopicMissing, PositionLost
        LogReplaced
            The topic has another id than `identity`.
        """
        return KafkaReader(self._options, self._topic, self._group_id, positions, identity=identity, share=self._share)

    def positions_at(self, milliseconds: int) -> Positions:
        """Return, for each partition, the position of its first record of that time or later; its end if there is none.

        Raises
        ------
        SourceUnavailable, TopicMissing
        """
        reader = KafkaReader(self._options, self._topic, None, {})
        try:
            return reader.positions_at(milliseconds)
        finally:
            reader.close()
