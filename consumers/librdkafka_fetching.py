"""Fetching records with librdkafka: many messages a call, taken apart as columns.

On the path it stands within :class:`~consumers.kafka_reader.KafkaReader`, in place of kafka-python's fetching, which
stays at hand: what librdkafka cannot read, or what becomes too large, is read once more with kafka-python and its
bounds (:mod:`consumers.kafka_bounds`). So the few odd records become what they become there, told of in the same words.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaException, Message, TopicPartition

from consumers.errors import ConsumerError
from consumers.kafka_bounds import MAXIMUM_BYTES
from consumers.kafka_client import position_lost, refused, unreachable
from consumers.kafka_fetching import Fetched, Fetcher, Reached
from consumers.kafka_options import KafkaOptions
from consumers.librdkafka_client import Meaning, make_consumer, meaning_of, words_of
from consumers.records import Records

log = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = Fetched((), {})
_UNFIT = "a record is too large, or a header's name is no text"


class _Odd(Exception):
    """Some of these messages have to be read in another way.

    Parameters
    ----------
    place
        Index of one that must not be looked at again, where there is one.
    """

    def __init__(self, place: int | None = None) -> None:
        super().__init__()
        self.place = place


class LibrdkafkaFetcher:
    """Fetches with librdkafka; see :class:`consumers.kafka_fetching.Fetcher`.

    Parameters
    ----------
    careful
        What reads a partition past a place where librdkafka fails.
    topic
        The topic.
    options
        How to reach the cluster.
    group_id
        A group that we may use.

    Raises
    ------
    SourceUnavailable
    ConsumerError
        The settings are not right.
    """

    def __init__(self, careful: Fetcher, topic: str, options: KafkaOptions, group_id: str | None) -> None:
        self._careful = careful
        self._topic = topic
        self._options = options
        self._next: dict[int, int | None] = {}
        """Partition → the offset that comes next; None for the earliest record."""
        self._aside: set[int] = set()
        """Partitions that are read carefully at the moment."""
        self._failure: ConsumerError | None = None
        self._consumer = make_consumer(options, topic, group_id)

    def start(self, offsets: Mapping[int, int | None]) -> None:
        """See :meth:`consumers.kafka_fetching.Fetcher.start`."""
        self._next = dict(offsets)
        self._ask(self._consumer.assign, [self._named(partition) for partition in offsets])

    def add(self, partitions: Iterable[int]) -> None:
        """See :meth:`consumers.kafka_fetching.Fetcher.add`."""
        new = list(partitions)
        self._next |= dict.fromkeys(new)
        self._ask(self._consumer.incremental_assign, [self._named(partition) for partition in new])

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """See :meth:`consumers.kafka_fetching.Fetcher.fetch`."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._aside:
            fetched = self._fetch_carefully(max_records, timeout)
            if fetched.reached:
                return fetched
            timeout = 0.0
        messages = self._consume(max_records, timeout)
        if not messages:
            return _NOTHING
        try:
            return self._fetched(messages)
        except _Odd as odd:
            return self._sort_out(messages, odd.place)

    def end(self, partition: int) -> int | None:
        """See :meth:`consumers.kafka_fetching.Fetcher.end`."""
        if partition in self._aside:
            return self._careful.end(partition)
        _, end = self._watermarks(partition)
        return end if end >= 0 else None

    def position(self, partition: int) -> int:
        """See :meth:`consumers.kafka_fetching.Fetcher.position`."""
        if partition in self._aside:
            return self._careful.position(partition)
        first, _ = self._watermarks(partition)
        (found,) = self._ask(self._consumer.position, [TopicPartition(self._topic, partition)])
        return max(found.offset, self._next.get(partition) or 0, first)

    def close(self) -> None:
        """See :meth:`consumers.kafka_fetching.Fetcher.close`."""
        self._consumer.close()

    def _consume(self, max_records: int, timeout: float) -> list[Message]:
        """Return what is there; where that is nothing, wait for the first message and not for as many as may come."""
        messages = self._ask(self._consumer.consume, max_records, 0.0)
        if not messages and timeout > 0:
            messages = self._ask(self._consumer.consume, 1, timeout)
            if messages and max_records > 1:
                # An error would come again; the message in hand would not.
                with contextlib.suppress(KafkaException):
                    messages += self._consumer.consume(max_records - 1, 0.0)
        return messages

    def _fetched(self, messages: Sequence[Message]) -> Fetched:
        """Return the records that messages are.

        Raises
        ------
        _Odd
            Some are errors, or hold what cannot be passed on.
        """
        if any(map(Message.error, messages)):
            raise _Odd
        records = columns(messages)
        reached = {}
        for partition in np.unique(records.partitions).tolist():
            place = int(np.flatnonzero(records.partitions == partition)[-1])
            epoch = messages[place].leader_epoch()
            self._next[partition] = offset = int(records.offsets[place]) + 1
            reached[partition] = Reached(offset, -1 if epoch is None else epoch)
        return Fetched(records, reached)

    def _sort_out(self, messages: Sequence[Message], known: int | None) -> Fetched:
        """Return the records before the first odd message of each partition, which is read carefully from there on.

        Parameters
        ----------
        messages
            Some are odd.
        known
            Index of one that must not be looked at again, where there is one.
        """
        good: list[Message] = []
        odd: dict[int, str] = {}
        for place, message in enumerate(messages):
            partition = message.partition()
            if partition is None or partition in odd:
                continue
            why = _UNFIT if place == known else self._what_is_odd(message, partition)
            if why is None:
                good.append(message)
            elif why:
                odd[partition] = why
        fetched = self._fetched(good) if good else _NOTHING
        # Only now: what comes next is behind what was good.
        self._set_aside(odd)
        return fetched

    def _what_is_odd(self, message: Message, partition: int) -> str | None:
        """Return why a message has to be read in another way; None where it is good, empty where it is no record."""
        error = message.error()
        if error is None:
            try:
                columns([message])
            except _Odd:
                return _UNFIT
            return None
        meaning = meaning_of(error, partition)
        if meaning is Meaning.ODD:
            return error.str()
        if meaning is Meaning.LOST:
            # What was read before it is handed out first.
            self._failure = self._failure or position_lost(self._topic, error.str())
        elif meaning is Meaning.REFUSED:
            self._failure = self._failure or refused(self._topic, self._options, error.str())
        else:
            log.debug("librdkafka goes on after an error: %s", error.str())
        return ""

    def _set_aside(self, partitions: Mapping[int, str]) -> None:
        """Read partitions with kafka-python from what comes next on, to get past what librdkafka fails at."""
        for partition, why in partitions.items():
            log.warning("%s[%s] is read more carefully for a moment: %s", self._topic, partition, why)
        if partitions:
            self._aside |= partitions.keys()
            self._ask(
                self._consumer.incremental_unassign,
                [TopicPartition(self._topic, partition) for partition in partitions],
            )
            self._careful.start({each: self._next[each] for each in self._aside})

    def _fetch_carefully(self, max_records: int, timeout: float) -> Fetched:
        """Fetch partitions that were set aside; one that gave something is librdkafka's again."""
        fetched = self._careful.fetch(max_records, timeout)
        for partition, (offset, _) in fetched.reached.items():
            self._next[partition] = offset
            self._aside.discard(partition)
            self._ask(self._consumer.incremental_assign, [self._named(partition)])
        if fetched.reached:
            self._careful.start({each: self._next[each] for each in self._aside})
        return fetched

    def _watermarks(self, partition: int) -> tuple[int, int]:
        """Return a partition's first offset and the one after its last, as last heard of; negative where unknown."""
        named = TopicPartition(self._topic, partition)
        try:
            found: tuple[int, int] = self._consumer.get_watermark_offsets(named, cached=True)
        except KafkaException:
            # Nothing is known of a partition that the topic does not have any more.
            return OFFSET_INVALID, OFFSET_INVALID
        return found

    def _ask(self, call: Callable[..., T], *arguments: object) -> T:
        """Call the client; an error of it means that the cluster cannot be used now."""
        try:
            return call(*arguments)
        except KafkaException as error:
            raise unreachable(self._options, words_of(error)) from error

    def _named(self, partition: int) -> TopicPartition:
        offset = self._next[partition]
        return TopicPartition(self._topic, partition, OFFSET_BEGINNING if offset is None else offset)


def columns(messages: Sequence[Message]) -> Records:
    """Return messages as columns.

    Raises
    ------
    _Odd
        One is larger than a record may be, or has a header whose name is no text.
    """
    count = len(messages)
    values = list(map(Message.value, messages))
    if max(map(len, filter(None, values)), default=0) > MAXIMUM_BYTES:
        raise _Odd
    keys: list[Any] = list(map(Message.key, messages))
    headers: list[Any] = []
    try:
        headers.extend(map(Message.headers, messages))
    except (SystemError, UnicodeDecodeError) as error:
        # Asked again, the client would hand out pairs with nothing in the place of such a name.
        raise _Odd(len(headers)) from error
    return Records(
        np.fromiter(map(Message.partition, messages), np.int32, count),
        np.fromiter(map(Message.offset, messages), np.int64, count),
        np.array([milliseconds for _, milliseconds in map(Message.timestamp, messages)], np.int64),
        values,
        None if keys.count(None) == count else keys,
        None if headers.count(None) == count else [each or () for each in headers],
    )
