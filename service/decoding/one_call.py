"""One decoding call: each message goes the fastest way that it fits, and all ways end in one table."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.decoding.arrow_columns import ArrowColumns
from service.decoding.arrow_events import ArrowStream
from service.decoding.avro_events import AvroEvents
from service.decoding.event_problems import PayloadInvalid, Problem
from service.decoding.extent import NamesLength
from service.decoding.payloads import ARROW, JSON, MAXIMUM_EVENTS, content_type_of, is_avro, split
from service.decoding.record_batch import Origins, RecordBatch
from service.decoding.single_decoding import Event, SingleDecoder, tabulate
from service.decoding.table import Table, in_order
from service.decoding.typed_decoding import TypedDecoder
from service.errors import ServiceError


class Place(NamedTuple):
    """One event: the index of its record in the batch, and its own within the record."""

    record: int
    event: int


class _Run(NamedTuple):
    """Consecutive events of one record: so that a message of many events costs one object, not one for each."""

    record: int
    first: int
    events: int


class Decoding:
    """The records of one call on their way into a table.

    Attributes
    ----------
    counts
        int64, shape (records,); events of each record.
    problems
        Events that could not even be decoded, and why.
    refused
        Whether the only message was refused as a whole.
    """

    def __init__(
        self,
        batch: RecordBatch,
        typed: TypedDecoder,
        single: SingleDecoder,
        arrow: ArrowColumns,
        avro: AvroEvents | None = None,
    ) -> None:
        self.counts: NDArray[np.int64] = np.zeros(len(batch.records), np.int64)
        self.problems: dict[Place, Problem] = {}
        self._batch = batch
        self._typed = typed
        self._single = single
        self._arrow = arrow
        self._avro = avro
        self._streams: list[tuple[int, ArrowStream]] = []
        self._rows: list[Any] = []
        self._row_runs: list[tuple[int, int, int]] = []
        self._events: list[Event] = []
        self._event_places: list[Place] = []
        self._names = NamesLength()
        self._by_shape = True
        self.refused = False

    @property
    def smooth(self) -> bool:
        """Whether every event had a shape that was known before."""
        return not self._events and not self.problems

    def run(self, together: bool, by_shape: bool = True) -> Table:
        """Decode all records.

        Parameters
        ----------
        together
            Whether to try and decode all messages in one call; that is wasted where one does not fit.
        by_shape
            Whether the typed path may be taken at all.

        Raises
        ------
        TooWide
            The events have too little in common to be one table.
        """
        self._by_shape = by_shape
        values, headers = self._batch.records.values, self._batch.records.headers or ()
        messages = {index: value for index, value in enumerate(values) if value is not None}
        types = {i: kind for i, each in enumerate(headers) if (kind := content_type_of(each)) != JSON and i in messages}
        if self._avro is not None:
            messages = self._opened(self._avro, messages, types)
        if together and messages and not types:
            rows = self._typed.lines(b"\n".join(messages.values()), len(messages))
            if rows is not None:
                records = np.array(list(messages), np.int64)
                self.counts[records] = 1
                return self._typed.tabulate(rows, Origins(records, np.zeros_like(records)))
        self._one_after_the_other(messages, types)
        return self._finish()

    def _opened(self, avro: AvroEvents, messages: dict[int, bytes], types: dict[int, str]) -> dict[int, bytes]:
        """Return the messages with JSON in the place of Avro; `types` keeps none of the latter."""
        opened = {}
        for index, value in messages.items():
            if not is_avro(value, types.get(index, JSON)):
                opened[index] = value
                continue
            types.pop(index, None)
            try:
                opened[index] = avro.as_json(value)
            except PayloadInvalid as invalid:
                self._refuse_message(index, invalid)
        return opened

    def refuse(self, error: ServiceError) -> Table:
        """Return no event: the only message is refused as a whole."""
        self.refused = True
        self.counts[:] = 1
        self.problems[Place(0, 0)] = Problem("malformed", str(error))
        return self._finish()

    def _one_after_the_other(self, messages: Mapping[int, bytes], types: Mapping[int, str]) -> None:
        """Decode each message; those that are one JSON event, as most are, with as little ado as can be."""
        alone: list[int] = []
        for index, value in messages.items():
            is_one = self._by_shape and index not in types and value[:1] != b"["
            row = self._typed.event(value) if is_one else None
            if row is None:
                self._message(index, value, types.get(index, JSON))
            else:
                self._rows.append(row)
                self._row_runs.append((index, 0, 1))
                alone.append(index)
        self.counts[alone] = 1

    def _message(self, index: int, value: bytes, content_type: str) -> None:
        rows = self._typed.message(value, content_type) if self._by_shape else None
        if rows is not None:
            self.counts[index] = len(rows)
            self._rows += rows
            self._row_runs.append(_Run(index, 0, len(rows)))
            return
        try:
            if content_type == ARROW:
                stream = ArrowStream.read(value, MAXIMUM_EVENTS)
                if self._arrow.takes(stream):
                    self.counts[index] = stream.rows
                    self._streams.append((index, stream))
                    return
            events = split(value, content_type)
        except PayloadInvalid as invalid:
            self._refuse_message(index, invalid)
        else:
            self._one_by_one(index, events)

    def _refuse_message(self, index: int, invalid: PayloadInvalid) -> None:
        self.counts[index] = 1
        self.problems[Place(index, 0)] = invalid.problem

    def _one_by_one(self, index: int, events: list[bytes]) -> None:
        self.counts[index] = len(events)
        for number, event in enumerate(events):
            self._one(Place(index, number), event, alone=len(events) == 1)

    def _one(self, place: Place, event: bytes, *, alone: bool) -> None:
        """Decode one event; one that is alone in its message has been tried as a whole."""
        by_shape = self._by_shape and not alone and self._typed.has_room(len(self._rows) + 1)
        row = self._typed.event(event) if by_shape else None
        if row is not None:
            self._rows.append(row)
            self._row_runs.append(_Run(*place, 1))
            return
        decoded = self._single.decode(event)
        if isinstance(decoded, Problem):
            self.problems[place] = decoded
        else:
            self._names.add(decoded.features or {}, decoded.shape)
            self._events.append(decoded)
            self._event_places.append(place)

    def _finish(self) -> Table:
        tables = [table for _, some in groupby(self._streams, _schema_of) if (table := self._of_streams(list(some)))]
        if self._events:
            tables.append(tabulate(self._events, _origins(self._event_places)))
        if self._rows or not tables:
            tables.append(self._typed.tabulate(self._rows, _origins_of_runs(self._row_runs)))
        # Only now: what it learns makes another decoder, whose columns are not those of the rows in hand.
        self._typed.learn(self._events, len(self._rows))
        return in_order(tables)

    def _of_streams(self, streams: list[tuple[int, ArrowStream]]) -> Table | None:
        """Return the rows of streams of one schema; None where they have gone the way of all events after all."""
        runs = [_Run(index, 0, stream.rows) for index, stream in streams]
        table = self._arrow.tabulate([stream for _, stream in streams], _origins_of_runs(runs))
        for index, stream in streams if table is None else ():
            try:
                self._one_by_one(index, stream.rows_as_json())
            except PayloadInvalid as invalid:
                self._refuse_message(index, invalid)
        return table


def _schema_of(numbered: tuple[int, ArrowStream]) -> Any:
    return numbered[1].schema


def _origins(places: list[Place]) -> Origins:
    pairs = np.array(places, np.int64).reshape(-1, 2)
    return Origins(pairs[:, 0], pairs[:, 1])


def _origins_of_runs(runs: Sequence[tuple[int, int, int]]) -> Origins:
    records, firsts, lengths = np.array(runs, np.int64).reshape(-1, 3).T
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return Origins(np.repeat(records, lengths), np.repeat(firsts, lengths) + within)


def drop_before(
    table: Table, problems: Mapping[Place, Problem], first: Mapping[int, int]
) -> tuple[Table, dict[Place, Problem]]:
    """Leave out the events before the ones that `first` names: record → event to begin with."""
    if not first:
        return table, dict(problems)
    begins = np.array([first.get(record, 0) for record in table.origins.records.tolist()], np.int64)
    kept = np.flatnonzero(table.origins.events >= begins)
    return table.take(kept), {at: problem for at, problem in problems.items() if at.event >= first.get(at.record, 0)}
