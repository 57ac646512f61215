"""A source, a sink and a clock for tests: in memory, exact, and stopped or broken where a test says so.

Shipped with the package, so that whoever writes a learner or a transport of their own can test it without a broker. The
marks follow the testing source of Bytewax (Apache-2.0): :data:`EOF` ends the log until it is opened again,
:data:`ABORT` raises at an exact record, once.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from consumers.errors import ConsumerError, LogReplaced, PositionLost
from consumers.source import NewRecord, Position, Positions, StoredRecord


class ManualClock:
    """A clock that moves when it is told to. Call it for the time, in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        self._now += seconds


class Aborted(ConsumerError):
    """What :data:`ABORT` raises."""


@dataclass(frozen=True)
class Mark:
    """Something that happens between two records; it takes no offset.

    Attributes
    ----------
    error
        What the first poll that comes this far raises; None for an end of the log.
    """

    error: Exception | None = None


EOF = Mark()
"""The log ends here for readers that are open; one that is opened after another came this far reads on."""

ABORT = Mark(Aborted("the test's source was told to break here"))
"""The first poll that comes this far raises. ``Mark(error)`` does the same with an error of one's own."""


@dataclass
class _Partition:
    """Records and marks in order. A mark that was passed is replaced by None."""

    items: list[StoredRecord | Mark | None] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    first: int = 0
    reached: set[int] = field(default_factory=set)

    def append(self, partition: int, item: bytes | NewRecord | Mark) -> None:
        if isinstance(item, Mark):
            self.items.append(item)
            return
        offset = len(self.places)
        self.places.append(len(self.items))
        record = item if isinstance(item, NewRecord) else NewRecord(item)
        # Timestamps that follow from the offset make every run the same.
        self.items.append(StoredRecord(partition, offset, offset, record.key, record.value, record.headers))

    def place_of(self, offset: int) -> int:
        """Return where the marks before the record at `offset` begin."""
        return self.places[offset - 1] + 1 if offset else 0

    def read(self, place: int, count: int, *, quiet: bool) -> tuple[list[StoredRecord], int]:
        """Return up to `count` records from `place` on, and the place after them.

        A mark's error is raised only where no record would get lost by it: none was taken here or, `quiet`, before.
        """
        records: list[StoredRecord] = []
        while place < len(self.items) and len(records) < count:
            item = self.items[place]
            if isinstance(item, Mark):
                if item.error is None:
                    self.reached.add(place)
                elif not records and not quiet:
                    self.items[place] = None
                    raise item.error
                break
            if item is not None:
                records.append(item)
            place += 1
        return records, place

    def pass_ends(self) -> None:
        """Let readers from now on read beyond the ends that were reached."""
        for place in self.reached:
            self.items[place] = None
        self.reached.clear()

    def end(self) -> int:
        """Return the offset after the last record before the first end."""
        ends = [place for place, item in enumerate(self.items) if isinstance(item, Mark) and item.error is None]
        return sum(place < ends[0] for place in self.places) if ends else len(self.places)


class MemorySource:
    """A topic in memory. May be appended to while it is read, from any thread.

    Parameters
    ----------
    partitions
        Partition → its records (a value, or a record with key and headers) and marks, in order.
    topic
        Its name.
    identity
        What tells it from another one of that name.
    """

    def __init__(
        self,
        partitions: Mapping[int, Iterable[bytes | NewRecord | Mark]] | None = None,
        topic: str = "memory",
        identity: str = "memory",
    ) -> None:
        self._topic = topic
        self.identity = identity
        self._partitions: dict[int, _Partition] = {}
        self._changed = threading.Condition()
        for partition, items in ({0: ()} if partitions is None else partitions).items():
            self.append(partition, *items)

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic

    def append(self, partition: int, *items: bytes | NewRecord | Mark) -> None:
        """Append records and marks to a partition, which need not exist yet."""
        with self._changed:
            held = self._partitions.setdefault(partition, _Partition())
            for item in items:
                held.append(partition, item)
            self._changed.notify_all()

    def forget(self, partition: int, before: int) -> None:
        """Drop the records before an offset, as retention does."""
        with self._changed:
            self._partitions[partition].first = before

    def open(self, positions: Positions, identity: str = "") -> "MemoryReader":
        """Return a reader that starts at `positions`.

        Raises
        ------
        LogReplaced
            `identity` is another log's.
        PositionLost
            A position lies outside of what is held.
        """
        if identity and identity != self.identity:
            raise LogReplaced(f"{self._topic} is not the log {identity}")
        with self._changed:
            for partition, position in positions.items():
                held = self._partitions.get(partition, _Partition())
                if not held.first <= position.offset <= len(held.places):
                    raise PositionLost(f"{self._topic}[{partition}] does not hold offset {position.offset}")
            for held in self._partitions.values():
                held.pass_ends()
        return MemoryReader(self, positions)

    def positions_at(self, milliseconds: int) -> Positions:
        """Return the first position of that time or later; a record's time is its offset."""
        with self._changed:
            return {
                partition: Position(min(max(milliseconds, held.first), len(held.places)))
                for partition, held in self._partitions.items()
            }

    def ends(self) -> dict[int, int]:
        """Return, for each partition, the offset after the last record that can be read now."""
        with self._changed:
            return {partition: held.end() for partition, held in self._partitions.items()}

    def read(self, places: dict[int, int], start: Positions, count: int, timeout: float) -> list[StoredRecord]:
        """Return up to `count` records from `places` on, which are moved on; wait for the first of them.

        Parameters
        ----------
        places
            Partition → where a reader stands in it; those that it has not met yet are added from `start`.
        start
            Where the reader was opened.
        count, timeout
            As :meth:`consumers.source.Reader.poll` has them.
        """
        give_up = time.monotonic() + timeout
        with self._changed:
            while True:
                records = self._read_now(places, start, count)
                if records or not self._changed.wait(max(0.0, give_up - time.monotonic())):
                    return records

    def _read_now(self, places: dict[int, int], start: Positions, count: int) -> list[StoredRecord]:
        records: list[StoredRecord] = []
        for partition, held in self._partitions.items():
            place = places.get(partition)
            if place is None:
                place = held.place_of(start.get(partition, Position(held.first)).offset)
            if place < held.place_of(held.first):
                raise PositionLost(f"{self._topic}[{partition}] no longer holds what comes next")
            taken, places[partition] = held.read(place, count - len(records), quiet=bool(records))
            records += taken
        return records


class MemoryReader:
    """Reads a :class:`MemorySource`.

    Attributes
    ----------
    identity
        The source's.
    committed
        The positions last committed; None before.
    """

    def __init__(self, source: MemorySource, positions: Positions) -> None:
        self.identity = source.identity
        self.committed: Positions | None = None
        self._source = source
        self._start = dict(positions)
        self._places: dict[int, int] = {}

    def poll(self, max_records: int, timeout: float) -> Sequence[StoredRecord]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first.

        Raises
        ------
        Aborted
            An :data:`ABORT` stands here; the next poll passes over it.
        """
        return self._source.read(self._places, self._start, max_records, timeout)

    def commit(self, positions: Positions) -> None:
        """Keep `positions` in :attr:`committed`."""
        self.committed = dict(positions)

    def ends(self) -> Mapping[int, int]:
        """Return, for each partition, the offset after the last record."""
        return self._source.ends()

    def close(self) -> None:
        """Do nothing: there is no connection."""


class MemorySink:
    """Appends to one partition of a :class:`MemorySource`.

    Attributes
    ----------
    source
        Where the records go, to be read from there.
    """

    def __init__(self, source: MemorySource | None = None, partition: int = 0) -> None:
        self.source = MemorySource() if source is None else source
        self._partition = partition
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        """Append `records`, unless something was appended with `idempotency_key` before."""
        with self._lock:
            if idempotency_key in self._keys:
                return False
            if idempotency_key is not None:
                self._keys.add(idempotency_key)
            self.source.append(self._partition, *records)
            return True

    def close(self) -> None:
        """Do nothing: there is no connection."""
