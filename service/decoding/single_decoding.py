"""The general path: events decoded one by one, so that the one that breaks costs nobody else anything.

It understands all that an event may be, and shows the shapes that it meets to the schema of the typed path.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from service.decoding.columns import gather
from service.decoding.event_problems import Problem
from service.decoding.flattening import FeatureInvalid, Selection, flatten
from service.decoding.payloads import decode_object
from service.decoding.record_batch import Origins
from service.decoding.table import PARTS, Table
from service.settings.event_options import EventOptions


class Envelope(msgspec.Struct):
    """An event in Headrace's own format; what else it holds is not looked at."""

    features: Any = None
    label: Any = None
    id: Any = None
    timestamp: Any = None
    weight: Any = None
    prediction: Any = None


class Event:
    """One decoded event: its features, dotted, or None where it has none; and its other parts."""

    __slots__ = ("features", "parts", "shape")

    def __init__(self, features: Mapping[str, Any] | None, parts: Mapping[str, Any], shape: Mapping[str, Any]) -> None:
        self.features = features
        self.parts = parts
        self.shape = shape
        """The object that held the features, nested as it came: what a schema can learn from."""


class SingleDecoder:
    """Decodes the bytes of one event."""

    def __init__(self, options: EventOptions, selection: Selection) -> None:
        self._selection = selection
        self._flat = options.format == "flat"
        self._paths = part_paths(options)
        self._decode = msgspec.json.Decoder().decode if self._flat else msgspec.json.Decoder(Envelope).decode

    def decode(self, event: bytes) -> Event | Problem:
        """Return the event, its values not yet judged, or why there is none."""
        return self.interpret(decode_object(event, self._decode))

    def interpret(self, decoded: Any) -> Event | Problem:
        """Return the event that a decoded object holds."""
        if isinstance(decoded, Problem):
            return decoded
        try:
            return self._from_flat(decoded) if self._flat else self._from_envelope(decoded)
        except FeatureInvalid as invalid:
            return Problem("feature", str(invalid))

    def _from_envelope(self, envelope: Envelope) -> Event | Problem:
        parts = {part: getattr(envelope, part) for part in PARTS}
        if envelope.features is None:
            return Event(None, parts, {})
        if type(envelope.features) is not dict:
            return Problem("not_an_event", "`features` is an object, from names to values")
        return Event(flatten(envelope.features, self._selection), parts, envelope.features)

    def _from_flat(self, nested: dict[str, Any]) -> Event:
        features = flatten(nested, self._selection, frozenset(self._paths))
        parts = {part: features.pop(path, None) for path, part in self._paths.items()}
        return Event(features, parts, nested)


def part_paths(options: EventOptions) -> dict[str, str]:
    """Return, for flat events, dotted name → the part that is found there."""
    if options.format == "envelope":
        return {}
    paths = {getattr(options, part): part for part in PARTS}
    return {path: part for path, part in paths.items() if path not in (None, "$key")}


def tabulate(events: Sequence[Event], origins: Origins) -> Table:
    """Return events as columns."""
    return Table(
        origins,
        dict(gather([event.features or {} for event in events])),
        {part: [event.parts.get(part) for event in events] for part in PARTS},
        np.array([row for row, event in enumerate(events) if event.features is None], np.intp),
    )
