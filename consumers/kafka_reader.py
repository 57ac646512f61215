"""Reading a Kafka topic: its partitions, or a share of them, from exact positions, at the client's own rate.

On the path it is the first station. The partitions are assigned, not balanced, so there is no rebalance to survive.
Whoever opens says where reading starts, and a position that the topic does not hold is an error, never a guess. Which
client fetches (``kafka_fetching.py``) makes no difference to what is looked at here; asking about the topic is always
kafka-python's.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from consumers.errors import CodecMissing, ConsumerError, LogReplaced, LogUnreadable, PositionLost, TopicMissing
from consumers.kafka_client import METADATA_SECONDS, Cluster, close_consumer, connect, reading_error, topic_missing
from consumers.kafka_commits import OffsetCommitter
from consumers.kafka_fetching import CLIENT_ERRORS, Fetcher, PythonFetcher, librdkafka_fetcher
from consumers.kafka_options import KafkaOptions
from consumers.kafka_watch import Watch
from consumers.source import ALL, Position, Positions, Record, Share

log = logging.getLogger(__name__)

# Seconds between two looks at what is not looked at in each poll.
_HOUSEKEEPING = 0.2

# Seconds that the client polls at a stretch.
_SLICE = 0.5

# Seconds for which a topic may be absent from the cluster's metadata before it counts as deleted.
_ABSENT = 5.0

# After these the client's next poll may never return, or would go on beyond what is lost.
_FATAL = (PositionLost, LogReplaced, TopicMissing, CodecMissing, LogUnreadable)


class KafkaReader:
    """Reads a Kafka topic. Owned by one thread, but `commit` and `ends` may be called from any.

    Parameters
    ----------
    options
        How to reach the cluster.
    topic
        The topic.
    group_id
        The group under whose name offsets are committed, for lag tools; None to commit nothing.
    positions
        Where to start; partitions that are absent from it start at their earliest record.
    stalled_after
        Seconds of polling after which a partition that lags and stands still has the client made anew.
    identity
        The id of the topic that `positions` are of; empty where that is not known.
    share
        The partitions that are read; positions of others are of no account.

    Raises
    ------
    SourceUnavailable, TopicMissing, PositionLost, LogReplaced
    """

    def __init__(
        self,
        options: KafkaOptions,
        topic: str,
        group_id: str | None,
        positions: Positions,
        *,
        stalled_after: float = 30.0,
        identity: str = "",
        share: Share = ALL,
    ) -> None:
        self._options = options
        self._share = share
        self._topic = topic
        self._group_id = group_id
        self._offsets = {partition: at.offset for partition, at in share.of_positions(positions).items()}
        self._epochs: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._identity = identity
        self._broken: ConsumerError | None = None
        self._closed = False
        self._kept_house_at = self._present_at = time.monotonic()
        self._watch = Watch(stalled_after)
        self._committer = None if group_id is None else OffsetCommitter(options, topic, group_id)
        self._partitions: frozenset[int] = frozenset()
        self._cluster = Cluster(options)
        self._consumer: Any = None
        self._fetcher: Fetcher | None = None
        self._open()

    @property
    def identity(self) -> str:
        """The topic's id: another one where it was deleted and made again."""
        return self._identity

    def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first; ``[]`` when idle.

        Raises
        ------
        SourceUnavailable
            The cluster was not heard of for a while; polling again later is safe and loses nothing.
        PositionLost, LogReplaced, TopicMissing, CodecMissing, LogUnreadable
            Going on would lose events in silence; polling again raises the same.
        """
        if self._broken is not None:
            raise self._broken
        try:
            return self._poll(max_records, timeout)
        except _FATAL as error:
            self._broken = error
            raise

    def commit(self, positions: Positions) -> None:
        """Have `positions` committed to Kafka by a thread of its own. Never raises, never waits."""
        if self._committer is None:
            return
        offsets = {
            partition: OffsetAndMetadata(position.offset, "", self._epochs.get(partition, -1))
            for partition, position in positions.items()
            # One that the topic does not have would keep the committer trying.
            if partition in self._partitions
        }
        if offsets:
            self._committer.submit(offsets)

    def ends(self) -> Mapping[int, int]:
        """Return partition → offset after its last record, as last heard of."""
        return self._ends

    def positions_at(self, milliseconds: int) -> Positions:
        """Return, for each partition, the position of its first record of that time or later; its end if there is none.

        Raises
        ------
        SourceUnavailable
        """
        times = {self._named(partition): milliseconds for partition in self._partitions}
        try:
            found = self._consumer.offsets_for_times(times, timeout_ms=self._options.connect_timeout * 1000)
        except CLIENT_ERRORS as error:
            raise reading_error(error, self._topic, self._options) from error
        return {
            each.partition: Position(self._ends[each.partition] if at is None else at.offset)
            for each, at in found.items()
        }

    def close(self) -> None:
        """Let go of connections. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            if self._committer is not None:
                self._committer.close()
            self._drop()

    def _poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Poll in slices, so that a long wait does not keep from looking at what changes meanwhile."""
        give_up = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            # Before polling: what a poll has taken must not be lost to an error.
            if now - self._kept_house_at > _HOUSEKEEPING:
                self._kept_house_at = now
                self._keep_house(now)
            fetcher = self._fetcher or self._open()
            records = self._poll_once(fetcher, max_records, min(_SLICE, max(0.0, give_up - now)))
            if records or time.monotonic() >= give_up:
                return records

    def _poll_once(self, fetcher: Fetcher, max_records: int, timeout: float) -> Sequence[Record]:
        started = time.monotonic()
        records, reached = fetcher.fetch(max_records, timeout)
        self._watch.polled(time.monotonic() - started)
        for partition, (offset, epoch) in reached.items():
            self._offsets[partition] = offset
            self._epochs[partition] = epoch
            self._watch.progressed(partition)
        return records

    def _open(self) -> Fetcher:
        """Connect, check that the topic holds what is to be read, and begin to fetch all partitions."""
        consumer, self._cluster = connect(KafkaConsumer, self._options, self._settings())
        try:
            self._partitions = self._own(self._cluster.find(self._topic, self._options))
            self._check_identity()
            self._check_offsets(consumer)
            fetcher = self._make_fetcher(consumer)
        except CLIENT_ERRORS as error:
            close_consumer(consumer)
            raise reading_error(error, self._topic, self._options) from error
        except BaseException:
            close_consumer(consumer)
            raise
        self._consumer, self._fetcher = consumer, fetcher
        return fetcher

    def _make_fetcher(self, consumer: Any) -> Fetcher:
        """Return what fetches all partitions from where they are to be read on."""
        fetcher: Fetcher = PythonFetcher(consumer, self._topic, self._options)
        if self._options.client == "librdkafka":
            fetcher = librdkafka_fetcher(fetcher, self._topic, self._options, self._group_id)
        try:
            fetcher.start({partition: self._offsets.get(partition) for partition in self._partitions})
        except BaseException:
            fetcher.close()
            raise
        return fetcher

    def _settings(self) -> dict[str, Any]:
        """Return what a consumer needs beside address and credentials."""
        refresh = min(METADATA_SECONDS, self._options.unreachable_after / 4)
        return {
            "auto_offset_reset": "none",
            "enable_auto_commit": False,
            "isolation_level": self._options.isolation_level,
            "fetch_max_bytes": self._options.fetch_max_bytes,
            "max_partition_fetch_bytes": self._options.max_partition_fetch_bytes,
            "metadata_max_age_ms": refresh * 1000,
            "metrics_enabled": False,
        }

    def _check_offsets(self, consumer: Any) -> None:
        """Raise PositionLost where the topic does not hold what is to be read next."""
        named = [self._named(partition) for partition in self._partitions]
        timeout_ms = self._options.connect_timeout * 1000
        firsts = consumer.beginning_offsets(named, timeout_ms=timeout_ms)
        ends = consumer.end_offsets(named, timeout_ms=timeout_ms)
        self._ends = {each.partition: end for each, end in ends.items()}
        for partition, offset in self._offsets.items():
            if partition not in self._partitions:
                raise PositionLost(f"topic {self._topic} has no partition {partition} (any more): was it made again?")
            first, end = firsts[self._named(partition)], self._ends[partition]
            if not first <= offset <= end:
                raise PositionLost(
                    f"{self._topic}[{partition}] holds offsets {first} to {end}, but {offset} is to be read next: "
                    f"retention was faster. Give the topic a longer one; to learn from what is left: headrace train "
                    f"--from earliest"
                )

    def _check_identity(self) -> None:
        """Raise LogReplaced where the topic is not the one that the positions are of."""
        identity = self._cluster.identity(self._topic)
        if self._identity and identity and identity != self._identity:
            raise LogReplaced(
                f"topic {self._topic} was deleted and made again: positions of the old one mean nothing in it. To "
                f"learn the new one from its beginning: headrace train --from earliest (what was learned is kept aside)"
            )
        self._identity = identity or self._identity

    def _keep_house(self, now: float) -> None:
        """Look at what changes seldom: the topic's partitions and ends, a silent cluster, partitions that stand."""
        fetcher = self._fetcher or self._open()
        if now - self._cluster.heard_at > self._options.unreachable_after:
            raise self._cluster.unreachable(f"nothing was heard of it for {now - self._cluster.heard_at:.0f} s")
        present = self._cluster.partitions(self._topic)
        if present:
            self._present_at = now
            self._check_identity()
            self._add(fetcher, self._own(present) - self._partitions)
        elif now - self._present_at > _ABSENT:
            raise topic_missing(self._topic, self._options)
        ends = {partition: fetcher.end(partition) for partition in self._partitions}
        self._ends |= {partition: end for partition, end in ends.items() if end is not None}
        standing = self._watch.standing(self._partitions)
        if standing and self._lags(fetcher, standing):
            log.warning("nothing comes of %s%s although there is more: connecting anew", self._topic, standing)
            self._drop()
            self._open()

    def _add(self, fetcher: Fetcher, partitions: frozenset[int]) -> None:
        """Read partitions that were added to the topic, from their beginning."""
        if partitions:
            log.info("topic %s has new partitions: %s", self._topic, sorted(partitions))
            self._partitions |= partitions
            fetcher.add(partitions)

    def _lags(self, fetcher: Fetcher, partitions: Sequence[int]) -> bool:
        """Ask the cluster whether any of `partitions` holds more than was read."""
        try:
            ends = self._consumer.end_offsets([self._named(each) for each in partitions], timeout_ms=1_000)
            return any(end > fetcher.position(each.partition) for each, end in ends.items())
        except CLIENT_ERRORS:
            # A cluster that does not answer is noticed by its silence.
            return False

    def _own(self, partitions: frozenset[int]) -> frozenset[int]:
        return frozenset(filter(self._share.has, partitions))

    def _named(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _drop(self) -> None:
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            fetcher.close()
        if self._consumer is not None:
            close_consumer(self._consumer)
            self._consumer = None
