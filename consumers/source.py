"""The interfaces between a log of records and the rest: start here.

A log (a Kafka topic, or the embedded log) is a set of partitions; a partition is a sequence of records, each
at an offset that grows and never comes back. A :class:`Source` names one topic; opening it at some positions
gives a :class:`Reader`, which hands out records in order within each partition. A :class:`Sink` appends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Record(Protocol):
    """One record as the log keeps it.

    A protocol, not a class, so that the records of a broker's client pass through without being copied one by one.
    """

    @property
    def partition(self) -> int:
        """Number of the partition."""

    @property
    def offset(self) -> int:
        """Place within the partition; grows, perhaps with gaps."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch at which the log took the record (or its producer made it)."""

    @property
    def key(self) -> bytes | None:
        """Key, where the producer gave one."""

    @property
    def value(self) -> bytes | None:
        """The message itself; ``None`` is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Headers in order; a name may occur more than once."""


class StoredRecord(NamedTuple):
    """A record read from a log that has no record type of its own; see :class:`Record`."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class NewRecord(NamedTuple):
    """A record on its way into a log."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Position(NamedTuple):
    """The next event to take from a partition: event number `event` of the message at ``offset``.

    A message may hold many events and span microbatches; its offset is passed, that is, the position becomes
    ``(offset + 1, 0)``, once its last event is taken.
    """

    offset: int
    event: int = 0


Positions = Mapping[int, Position]
"""Partition → the next event to take. A partition that is absent is read from its earliest record."""


@dataclass(frozen=True, slots=True)
class Share:
    """The partitions that one of several readers of a topic reads: every n-th of them.

    Attributes
    ----------
    number, among
        Which of how many readers, from 0 on. It reads the partitions whose number leaves `number` when divided by
        `among`; where a topic has fewer partitions than readers, some read nothing.
    """

    number: int = 0
    among: int = 1

    def has(self, partition: int) -> bool:
        """Whether a partition is in this share."""
        return partition % self.among == self.number

    def of_positions(self, positions: Positions) -> dict[int, Position]:
        """Return those of `positions` whose partition is in this share."""
        return {partition: position for partition, position in positions.items() if self.has(partition)}


ALL = Share()
"""The share of whoever reads alone."""


class Reader(Protocol):
    """Hands out the records of one topic. Owned by one thread."""

    @property
    def identity(self) -> str:
        """Identity of the log behind the topic's name: another one once it was deleted and made again.

        Offsets mean nothing in a log of another identity. Empty where the log cannot tell.
        """

    def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first; ``[]`` when idle.

        A reader that can have them without an object for each returns :class:`consumers.records.Records`: a sequence
        of records like any other, whose columns are there for whoever wants all values or all offsets at once.

        Raises
        ------
        SourceUnavailable
            The log cannot be reached now; polling again later is safe and loses nothing.
        PositionLost, LogReplaced, TopicMissing, CodecMissing
            Going on would lose events in silence.
        """

    def commit(self, positions: Positions) -> None:
        """Tell the log how far reading has come. Advisory: for lag tools; failures are logged, never raised."""

    def ends(self) -> Mapping[int, int]:
        """Partition → offset after its last record, as last heard of. Cheap; never waits for the network."""

    def close(self) -> None:
        """Let go of connections. Closing twice is harmless."""


class Source(Protocol):
    """One topic that can be read, as often as wanted and from anywhere."""

    @property
    def topic(self) -> str:
        """Name of the topic, for messages and dead letters."""

    def open(self, positions: Positions, identity: str = "") -> Reader:
        """Return a reader that starts at the offsets of `positions`; partitions absent from it start at their earliest.

        The event within a message is not the reader's business: it hands out the whole message.

        Parameters
        ----------
        positions
            Where to start.
        identity
            :attr:`Reader.identity` of the log that `positions` are of; empty where that is not known.

        Raises
        ------
        SourceUnavailable, TopicMissing, PositionLost
        LogReplaced
            The log has another identity.
        """

    def positions_at(self, milliseconds: int) -> Positions:
        """Return, for each partition, the position of its first record of that time or later; its end if there is none.

        Parameters
        ----------
        milliseconds
            Since the epoch, as records' timestamps are.

        Raises
        ------
        SourceUnavailable, TopicMissing
        """


class Sink(Protocol):
    """Something that records can be appended to. May be shared by threads."""

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        """Append `records`, all or none (but where AppendFailed says which); when this returns they are durable.

        Parameters
        ----------
        records
            What to append, in order.
        idempotency_key
            A second append with the same key does nothing.

        Returns
        -------
        bool
            Whether the records were appended now; False where `idempotency_key` was known already.

        Raises
        ------
        AppendFailed, SourceUnavailable
        """

    def close(self) -> None:
        """Flush and let go of connections. Closing twice is harmless."""
