"""Records into examples: the step between the log and the learner. Start here for how events are decoded.

::

    records ─▶ payloads.py          which events does a message hold?
            ─▶ typed_decoding.py    many in one call, where they have the shape of those before (schema.py)
            ─▶ single_decoding.py   one by one, where they have not
            ─▶ table.py             columns of Python values; from here on both are the same
            ─▶ examination.py       example, waiting, or unusable?
            ─▶ columns.py           features as the learner takes them

What an event means never depends on the path it took or on what was decoded before it.
"""

from collections.abc import Sequence
from sys import maxsize

from consumers.source import Positions, Record
from service.decoded import DecodedEvents
from service.decoding import Decoding, drop_before
from service.event_bodies import events_from_body
from service.event_options import EventOptions
from service.examination import examine
from service.flattening import Selection
from service.record_batch import RecordBatch
from service.rejection import Rejected, rejections
from service.single_decoding import SingleDecoder
from service.typed_decoding import TypedDecoder

__all__ = ["DecodedEvents", "EventDecoder", "Rejected", "events_from_body"]


class EventDecoder:
    """Decodes the records of one topic. Owned by one thread.

    Parameters
    ----------
    options
        How the topic's messages are to be read.
    start
        Where reading begins. Events before it, in a message that it splits, are neither returned nor counted.
    """

    def __init__(self, options: EventOptions, start: Positions) -> None:
        self._options = options
        self._start = dict(start)
        selection = Selection(options.include, options.exclude)
        self._single = SingleDecoder(options, selection)
        self._typed = TypedDecoder(options, selection)
        self._smooth = True

    def decode(self, records: Sequence[Record]) -> DecodedEvents:
        """Return the examples that `records` hold, and what became of all the other events."""
        batch = RecordBatch.of(records)
        decoding = Decoding(batch, self._typed, self._single)
        table = decoding.run(together=self._smooth)
        self._smooth = decoding.smooth
        table, broken = drop_before(table, decoding.problems, self._first_events(batch))
        verdict = examine(table, self._options, batch)
        problems = broken | {table.origins.at(row): problem for row, problem in verdict.problems.items()}
        return DecodedEvents(
            verdict.examples,
            batch.track(verdict.origins, decoding.counts),
            batch.positions(),
            rejections(batch, problems),
            len(table) + len(broken),
            verdict.unlabelled,
            verdict.origins,
            batch,
            decoding.counts,
        )

    def _first_events(self, batch: RecordBatch) -> dict[int, int]:
        """Return, for records that lie before the start or are split by it, the first event to take."""
        if not self._start or self._start.keys().isdisjoint(batch.partitions.tolist()):
            return {}
        first: dict[int, int] = {}
        for index, record in enumerate(batch.records):
            start = self._start.get(record.partition)
            if start is not None and record.offset <= start.offset:
                first[index] = start.event if record.offset == start.offset else maxsize
        for partition, position in batch.positions().items():
            if partition in self._start and position.offset > self._start[partition].offset:
                del self._start[partition]
        return first
