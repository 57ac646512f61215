"""The fast path: events decoded many in one call, by a typed decoder for the shape of the events seen so far.

Single JSON messages are joined by newlines and decoded in one call; so is an NDJSON message. What keeps rows from
ever being taken for another message's: every newline must stand between a ``}`` and a ``{``. No event can then reach
over a newline (within a string JSON forbids it, and ``{`` never follows ``}`` within an object), so every line holds
one event or more; and as many rows as lines means one each.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.decoding.array_columns import spread
from service.decoding.event_problems import BAD_JSON
from service.decoding.extent import has_room
from service.decoding.flattening import Selection
from service.decoding.payloads import JSON, MAXIMUM_EVENTS, NDJSON
from service.decoding.record_batch import Origins
from service.decoding.schema import Schema
from service.decoding.single_decoding import Event
from service.decoding.table import PARTS, Column, Table
from service.settings.event_options import EventOptions

_NEWLINE, _BEGIN, _END = b"\n{}"


class TypedDecoder:
    """Decodes events that have the shape of those seen before; refuses all others."""

    def __init__(self, options: EventOptions, selection: Selection) -> None:
        self._options = options
        self._selection = selection
        self._schema = Schema(options, selection)
        self._compile()

    def lines(self, joined: bytes, count: int) -> list[Any] | None:
        """Return one row for each of `count` lines; None where one does not fit, or lines and rows may not agree."""
        if not self._has_room_for(joined):
            return None
        if joined[:1] != b"{" or joined[-1:] != b"}":
            return None
        codes = np.frombuffer(joined, np.uint8)
        newlines = np.flatnonzero(codes == _NEWLINE)
        if len(newlines) != count - 1 or not _all_between_objects(codes, newlines):
            return None
        try:
            rows: list[Any] = self._event.decode_lines(joined)
        except BAD_JSON:
            return None
        return rows if len(rows) == count else None

    def message(self, value: bytes, content_type: str) -> list[Any] | None:
        """Return the rows of one message; None where it does not fit, or is neither JSON nor NDJSON."""
        if content_type == NDJSON:
            lines = value.replace(b"\r\n", b"\n").strip(b"\n")
            count = lines.count(b"\n") + 1
            return self.lines(lines, count) if count <= MAXIMUM_EVENTS else None
        if content_type != JSON:
            return None
        try:
            if value[:1] == b"[":
                if not self._has_room_for(value):
                    return None
                rows: list[Any] = self._events.decode(value)
                return rows if len(rows) <= MAXIMUM_EVENTS else None
            return [self._event.decode(value)]
        except BAD_JSON:
            return None

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may be decoded at once: each has a place for every name of the schema."""
        return has_room(rows, self._schema.leaves)

    def _has_room_for(self, value: bytes) -> bool:
        """Whether what may be events in `value` may be decoded at once; an event has two bytes at least."""
        return self.has_room(len(value) // 2) or self.has_room(value.count(b"{"))

    def event(self, event: bytes) -> Any | None:
        """Return the row of one event; None where it does not fit."""
        try:
            return self._event.decode(event)
        except BAD_JSON:
            return None

    def tabulate(self, rows: Sequence[Any], origins: Origins) -> Table:
        """Return rows as columns."""
        if self._options.format == "flat":
            features, found = self._schema.columns(rows)
            missing: Column = [None] * len(rows)
            return Table(origins, features, {part: found.get(part, missing) for part in PARTS}, np.empty(0, np.intp))
        objects = [row.features for row in rows]
        absent = [row for row, each in enumerate(objects) if each is None] if None in objects else []
        # Labels alone have no features: they are not asked for any.
        present = [row for row, each in enumerate(objects) if each is not None] if absent else range(len(objects))
        features, _ = self._schema.columns([objects[row] for row in present] if absent else objects)
        if absent:
            features = {name: spread(column, present, len(rows)) for name, column in features.items()}
        parts: dict[str, Column] = {
            "label": [row.label for row in rows],
            "id": [row.id for row in rows],
            "timestamp": [row.timestamp for row in rows],
            "weight": [row.weight for row in rows],
            "prediction": [row.prediction for row in rows],
        }
        return Table(origins, features, parts, np.array(absent, np.intp))

    def learn(self, events: Sequence[Event], fitted: int) -> None:
        """Take in the shape of events that did not fit, so that the next of their kind do.

        Rows decoded before cannot be tabulated any more. `fitted` is how many events beside them did fit.
        """
        if self._schema.full and len(events) > fitted:
            # A flood of names filled it: the shape of today's events is worth more than that of the flood.
            self._schema = Schema(self._options, self._selection)
        for event in events:
            # Where most events fit already, what is new may be a flood of names that never come again.
            self._schema.observe(event.shape, twice=fitted > len(events))
        if self._schema.changed:
            self._compile()

    def _compile(self) -> None:
        struct = self._schema.compile()
        self._event: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)
        self._events = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]  # a type made at run time


def _all_between_objects(codes: NDArray[np.uint8], newlines: NDArray[np.intp]) -> bool:
    """Whether each newline follows a ``}`` and precedes a ``{``; none is the first or the last byte."""
    return bool((codes[newlines - 1] == _END).all() and (codes[newlines + 1] == _BEGIN).all())
