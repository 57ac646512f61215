"""A file as learners see it, in a measurement or as a history: the examples that a service would make of its events.

Rows become events, events are decoded, labels are brought to one task, as on the path of a real event; then rows are
cut into blocks of the delay. Each learner's process reads the file anew, so only a few blocks of it are in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from consumers.source import StoredRecord
from models.examples import Examples, Label, Task
from service.decoding.decoded import DecodedEvents
from service.decoding.tasks import LONGEST_WAIT, TaskGate
from service.errors import StreamFileInvalid
from service.events import EventDecoder
from service.replaying.replay import batches
from service.replaying.replay_events import Roles, as_json, events_of
from service.replaying.stream_files import open_stream_file
from service.settings.event_options import EventOptions

_TOGETHER = 512  # rows of a message: enough that decoding is fast, few enough that little is in memory
_HEADERS = (("content-type", b"application/x-ndjson"),)

ENVELOPE = EventOptions()
"""Rows are events in the envelope format, all of whose features are wanted."""


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """Which rows are learned.

    Attributes
    ----------
    file
        Where they are.
    roles
        Columns that are no features.
    task
        What is predicted; None: the labels tell.
    limit
        Only so many rows from the start; None for all.
    events
        How rows are to be read as events: which features are wanted, and where an event that is flat has its label
        (`roles` then have none).
    classes
        Those that were met before, canonical, in that order; of use only where the task is known.
    """

    file: Path
    roles: Roles
    task: Task | None = None
    limit: int | None = None
    events: EventOptions = ENVELOPE
    classes: tuple[Label, ...] = ()


@dataclass(slots=True)
class Survey:
    """What a file holds.

    Attributes
    ----------
    task
        What is predicted.
    rows
        Labelled rows that can be used.
    unlabelled
        Rows without a label.
    refused
        Reason → rows that cannot be used; `first` is what was wrong with the first one.
    """

    task: Task
    rows: int = 0
    unlabelled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    first: str = ""


def survey(order: StreamOrder, notice: Callable[[float, int], None] = lambda *_: None) -> Survey:
    """Read a file through, so that what is wrong with it is told before anything is learned.

    Parameters
    ----------
    order
        What to read.
    notice
        Called now and then with the share of the file that was read, 0 to 1, and the rows so far.

    Raises
    ------
    StreamFileInvalid
        It cannot be read, has no such column, or not one row with a usable label.
    """
    reading, rows, found = Reading(order), 0, Survey(Task.BINARY)
    for decoded in reading:
        rows += len(decoded.examples)
        found.unlabelled += decoded.unlabelled
        for letter in decoded.rejected:
            found.first = found.first or f"row {letter.offset * _TOGETHER + letter.index + 1}: {letter.detail}"
            found.refused[letter.reason] += 1
        notice(reading.file.fraction(), rows)
    if reading.task is None or not rows:
        raise StreamFileInvalid(f"{order.file}: has no row with a label that could be learned{_why(found)}")
    found.task, found.rows = reading.task, rows
    return found


def blocks(order: StreamOrder, size: int) -> Iterator[Examples]:
    """Yield the labelled rows of a file in blocks; the last one may be smaller.

    Raises
    ------
    StreamFileInvalid
    """
    return cut((decoded.examples for decoded in Reading(order)), size)


def cut(chunks: Iterable[Examples], size: int) -> Iterator[Examples]:
    """Yield the rows of `chunks` in order, `size` at a time; the last ones may be fewer."""
    held: list[Examples] = []
    rows = 0
    for chunk in chunks:
        held.append(chunk)
        rows += len(chunk)
        if rows < size:
            continue
        joined = Examples.concatenate(held)
        full = rows - rows % size
        for start in range(0, full, size):
            yield joined.slice(start, start + size)
        rows -= full
        held = [joined.slice(full, full + rows)] if rows else []
    if rows:
        yield Examples.concatenate(held)


class Reading:
    """What the rows of a file hold, labels brought to one task; to be iterated over once.

    Time stands still meanwhile, for a file is the same however slowly it is read; at its end, what waits is due.

    Parameters
    ----------
    order
        Which rows.

    Attributes
    ----------
    file
        That is read.
    """

    def __init__(self, order: StreamOrder) -> None:
        self.file = open_stream_file(order.file)
        self._order = order
        self._now = 0.0
        most = order.events.max_classes
        self._gate = TaskGate(order.task, order.classes, clock=lambda: self._now, most_classes=most)

    @property
    def task(self) -> Task | None:
        """What is predicted; None where not one label told."""
        return self._gate.task

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes met so far, in order; none for regression."""
        return self._gate.classes

    def __iter__(self) -> Iterator[DecodedEvents]:
        """Yield the rows as they are decoded.

        Raises
        ------
        StreamFileInvalid
        """
        order = self._order
        decoder = EventDecoder(order.events, {})
        rows = iter(self.file) if order.events.format == "flat" else events_of(self.file, order.roles)
        events = islice(rows, order.limit)
        for offset, lines in enumerate(batches(map(as_json, events), _TOGETHER)):
            for decoded in decoder.pieces([StoredRecord(0, offset, 0, None, b"\n".join(lines), _HEADERS)]):
                yield from self._gate.offer(decoded)
        self._now = LONGEST_WAIT
        yield from self._gate.poll()


def _why(found: Survey) -> str:
    """Return what kept rows from being used, in words."""
    if found.first:
        return f"; {sum(found.refused.values()):,} cannot be used, the first is {found.first}"
    return f"; {found.unlabelled:,} have none" if found.unlabelled else "; it is empty"
