"""Kafka's record batches cut into columns in one pass, where the client would make three objects of each record.

On the path it stands inside the client's fetcher, in place of what takes a broker's answer apart. Sessions, positions,
checksums, aborted transactions, control batches and codecs (within :mod:`consumers.kafka_bounds`) stay the client's own
affair: it is handed one record for a whole batch, whose value are the batch's records as :class:`Records`. A batch in
an old format, one that does not add up, and a client of another version than the known ones are read the client's way.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import kafka
from kafka.consumer.fetcher import Fetcher

from consumers.kafka_records import cut
from consumers.records import Records

log = logging.getLogger(__name__)

KNOWN_VERSIONS = ("3.0.",)
"""Beginnings of the versions of kafka-python whose fetcher was read."""

_MAGIC = 2
_INFINITE = 1 << 62


def read_in_batches(consumer: Any) -> None:
    """Have a consumer's poll return, for each partition, a list of :class:`Records` instead of one of records.

    A client of an unknown version is left as it is, and returns records.
    """
    if kafka.__version__.startswith(KNOWN_VERSIONS):
        consumer._fetcher.PartitionRecords = PartitionBatches
    else:
        log.warning(
            "kafka-python %s is not known here: records are read one by one, which is slower", kafka.__version__
        )


def in_pieces(polled: Sequence[Any]) -> Iterator[tuple[Records, int]]:
    """Yield what a poll returned of one partition, with the leader's epoch; at least one piece."""
    if isinstance(polled[0], tuple) and isinstance(polled[0][0], Records):
        yield from polled
    else:
        yield Records.of(polled), polled[-1].leader_epoch


class PartitionBatches(Fetcher.PartitionRecords):  # type: ignore[misc]  # the client has no types
    """What a broker's answer holds of one partition, handed out as :class:`Records`. See the client's class."""

    def __init__(self, fetch_offset: int, topic_partition: Any, records: Any, **settings: Any) -> None:
        batches = _Batches(records, topic_partition.partition, fetch_offset)
        super().__init__(fetch_offset, topic_partition, batches, **settings)
        self._rest: Records | None = None

    def take(self, n: int | None = None) -> "_Taken":
        """Return at most `n` records."""
        self._maybe_raise_next_inline_exception()
        taken = _Taken()
        most = _INFINITE if n is None else n
        try:
            while taken.rows < most and (part := self._next_part()) is not None:
                if len(part) > most - taken.rows:
                    self._rest = part[most - taken.rows :]
                    part = part[: most - taken.rows]
                if self._rest is not None:
                    self.next_fetch_offset = int(part.offsets[-1]) + 1
                taken.add(part, self.leader_epoch)
        # As the client does: what was read before an error is handed out before it is raised.
        except Exception as error:
            if not taken.rows:
                raise
            self._next_inline_exception = error
        return taken

    def _next_part(self) -> Records | None:
        """Return what is left of a batch, or the next batch; None at the end of the answer."""
        part, self._rest = self._rest, None
        if part is not None:
            self.next_fetch_offset = int(part.offsets[-1]) + 1
            return part
        found = next(self.record_iterator, None)
        if found is None or isinstance(found.value, Records):
            return None if found is None else found.value
        return Records.of([found])


class _Taken:
    """Some records of one partition: as long as there are records, but it yields them in few pieces."""

    def __init__(self) -> None:
        self.rows = 0
        self._parts: list[tuple[Records, int]] = []

    def add(self, part: Records, leader_epoch: int) -> None:
        self.rows += len(part)
        self._parts.append((part, leader_epoch))

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[tuple[Records, int]]:
        return iter(self._parts)


class _Batches:
    """The batches of an answer, each as one record if it can be cut, else as the client has it."""

    def __init__(self, records: Any, partition: int, fetch_offset: int) -> None:
        self._records = records
        self._partition = partition
        self._fetch_offset = fetch_offset

    def next_batch(self) -> Any:
        """Return the next batch; None after the last."""
        batch = self._records.next_batch()
        if batch is None or batch.magic != _MAGIC or batch.is_control_batch:
            return batch
        return _Batch(batch, self._partition, self._fetch_offset)


class _Batch:
    """A batch that yields all of its records as one; in everything else it is the client's."""

    def __init__(self, batch: Any, partition: int, fetch_offset: int) -> None:
        self._batch = batch
        self._partition = partition
        self._fetch_offset = fetch_offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        batch._maybe_uncompress()
        records = cut(batch, self._partition)
        if records is None:
            # The client's way says what is wrong with it, after all that is before that.
            yield from batch
            return
        # A batch may begin before what was asked for.
        if len(records) and records.offsets[0] < self._fetch_offset:
            records = records[int(records.offsets.searchsorted(self._fetch_offset)) :]
        if len(records):
            yield _Whole(records, int(records.offsets[-1]), len(batch._buffer))


class _Whole:
    """The one record that the client sees of a batch."""

    key = timestamp = timestamp_type = checksum = None
    headers = ()

    def __init__(self, records: Records, offset: int, size: int) -> None:
        self.value = records
        self.offset = offset
        self.size_in_bytes = size

    def validate_crc(self) -> bool:
        """Return True: the batch's checksum, which covers this, was right."""
        return True
