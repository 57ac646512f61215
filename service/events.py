"""Records into examples: the step between the log and the learner. Start here for how events are decoded.

::

    records ─▶ payloads.py          which events does a message hold?
            ─▶ avro_events.py       Avro becomes JSON
            ─▶ arrow_columns.py     streams of Arrow straight into columns
            ─▶ typed_decoding.py    many in one call, where they have the shape of those before (schema.py)
            ─▶ single_decoding.py   one by one, where they have not
            ─▶ table.py             columns of Python values; from here on both are the same
            ─▶ examination.py       example, waiting, or unusable?
            ─▶ columns.py           features as the learner takes them

What an event means never depends on the path it took or on what was decoded before it.
"""

from collections.abc import Iterator, Sequence
from sys import maxsize

import numpy as np

from consumers.records import Records
from consumers.source import Positions, Record
from service.decoding.arrow_columns import ArrowColumns
from service.decoding.avro_events import AvroEvents, Schemas
from service.decoding.decoded import DecodedEvents
from service.decoding.event_bodies import events_from_body
from service.decoding.event_problems import PayloadInvalid, Problem
from service.decoding.examination import examine
from service.decoding.extent import TooWide, in_parts
from service.decoding.flattening import Selection
from service.decoding.one_call import Decoding, drop_before
from service.decoding.record_batch import RecordBatch
from service.decoding.rejection import Rejected, rejections
from service.decoding.single_decoding import SingleDecoder
from service.decoding.table import Table
from service.decoding.typed_decoding import TypedDecoder
from service.settings.event_options import EventOptions

_AT_ONCE = 1024 * 1024
"""Bytes of messages in one decoding call, one message apart: as bad events of two bytes they take 250 times that."""

__all__ = ["DecodedEvents", "EventDecoder", "Rejected", "events_from_body"]


class EventDecoder:
    """Decodes the records of one topic. Owned by one thread.

    Parameters
    ----------
    options
        How the topic's messages are to be read.
    start
        Where reading begins. Events before it, in a message that it splits, are neither returned nor counted.
    observations
        Whether events without a label are of use.
    joined
        Whether labels are joined to what was observed before, so that each of them is of use by itself.
    schemas
        Of Avro messages; None: there are none.
    of_model
        The identity of the model; empty: what any model answered counts as its answers.
    """

    def __init__(
        self,
        options: EventOptions,
        start: Positions,
        *,
        observations: bool = False,
        joined: bool = False,
        schemas: Schemas | None = None,
        of_model: str = "",
    ) -> None:
        self._options = options
        self._observations = observations
        self._joined = joined
        self._of_model = of_model
        self._start = dict(start)
        selection = Selection(options.include, options.exclude)
        self._single = SingleDecoder(options, selection)
        self._typed = TypedDecoder(options, selection)
        self._arrow = ArrowColumns(options, selection)
        self._avro = None if schemas is None else AvroEvents(schemas)
        self._smooth = True

    def prepare(self, records: Sequence[Record]) -> None:
        """Have the schemas of Avro messages ready, before any of the records is decoded.

        Raises
        ------
        RegistryUnavailable
            None of them may be decoded yet: to be tried again.
        """
        if self._avro is not None:
            columns = Records.of(records)
            self._avro.prepare(value for value in columns.values if value is not None)

    def pieces(self, records: Sequence[Record]) -> Iterator[DecodedEvents]:
        """Yield what `records` hold: all at once as a rule, in pieces where that would take too much memory."""
        columns = Records.of(records)
        for start, stop in in_parts(columns.lengths().tolist(), _AT_ONCE):
            yield from self._halved(columns[start:stop])

    def decode(self, records: Sequence[Record]) -> DecodedEvents:
        """Return the examples that `records` hold, and what became of all the other events.

        A single message whose events have too little in common is refused as a whole.

        Raises
        ------
        TooWide
            Several records have too little in common; see :meth:`pieces`.
        """
        batch = RecordBatch.of(records)
        try:
            return self._decode(batch)
        except TooWide as wide:
            if len(records) > 1:
                raise
            decoding = self._begin(batch)
            return self._judge(batch, decoding, decoding.refuse(wide))

    def problems(self, body: Record) -> dict[int, Problem]:
        """Return index → why the event cannot be used, for the events of one body.

        Raises
        ------
        PayloadInvalid
            The body cannot be used as a whole.
        """
        try:
            decoded = self._decode(RecordBatch.of([body]))
        except TooWide as wide:
            raise PayloadInvalid("malformed", str(wide)) from None
        return {each.index: Problem(each.reason, each.detail) for each in decoded.rejected}

    def _halved(self, records: Sequence[Record]) -> Iterator[DecodedEvents]:
        try:
            yield self.decode(records)
        except TooWide:
            half = len(records) // 2
            yield from self._halved(records[:half])
            yield from self._halved(records[half:])

    def _begin(self, batch: RecordBatch) -> Decoding:
        return Decoding(batch, self._typed, self._single, self._arrow, self._avro)

    def _decode(self, batch: RecordBatch) -> DecodedEvents:
        decoding = self._begin(batch)
        try:
            decoded = self._judge(batch, decoding, decoding.run(together=self._smooth))
        except TooWide:
            if len(batch.records) > 1:
                raise
            # What is refused must not depend on the shapes that were seen before.
            decoding = self._begin(batch)
            decoded = self._judge(batch, decoding, decoding.run(together=False, by_shape=False))
        self._smooth = decoding.smooth
        return decoded

    def _judge(self, batch: RecordBatch, decoding: Decoding, table: Table) -> DecodedEvents:
        table, broken = drop_before(table, decoding.problems, self._first_events(batch))
        verdict = examine(
            table,
            self._options,
            batch,
            observations=self._observations,
            joined=self._joined,
            of_model=self._of_model,
        )
        self._pass(batch)
        problems = broken | {table.origins.at(row): problem for row, problem in verdict.problems.items()}
        return DecodedEvents(
            verdict.examples,
            batch.track(verdict.origins, decoding.counts),
            batch.positions(),
            rejections(batch, problems, whole=decoding.refused),
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
        for partition, start in self._start.items():
            before = (batch.partitions == partition) & (batch.offsets <= start.offset)
            for index in np.flatnonzero(before).tolist():
                first[index] = start.event if batch.offsets[index] == start.offset else maxsize
        return first

    def _pass(self, batch: RecordBatch) -> None:
        """Forget where reading begins in the partitions that are past it."""
        for partition, position in batch.positions().items() if self._start else ():
            if partition in self._start and position.offset > self._start[partition].offset:
                del self._start[partition]
