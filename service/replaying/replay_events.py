"""Rows of a table → events in the envelope format, as JSON.

Before the path: this is what a producer of somebody's own would do.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.decoding.flattening import FeatureInvalid, flatten
from service.errors import StreamFileInvalid
from service.replaying.stream_files import Row, StreamFile

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns that are no features, or not these alone.

    Attributes
    ----------
    label
        The column to learn; None where the rows are events in the envelope format already.
    id, timestamp
        Columns of the event's id and time, where there are any.
    key
        The column whose values are to have small models of their own; a feature all the same.
    """

    label: str | None
    id: str | None = None
    timestamp: str | None = None
    key: str | None = None


class Event(msgspec.Struct, omit_defaults=True):
    """An event in the envelope format, as far as a table's row can fill it."""

    features: Mapping[str, Any]
    label: Any = None
    id: Any = None
    timestamp: Any = None


def events_of(file: StreamFile, roles: Roles) -> Iterator[Event | Row]:
    """Yield an event for each row of `file`; rows that are events already come as they are.

    Raises
    ------
    StreamFileInvalid
        The file is broken, or has no such column; before the first event where its header tells.
    """
    if file.columns is not None:
        _check_columns(file.name, file.columns, roles)
    if roles.label is None:
        return _envelopes(file)
    return _from_rows(file, roles, roles.label)


def as_json(event: Event | Row) -> bytes:
    """Return an event as one line of JSON."""
    return _encode(event)


def _check_columns(name: str, columns: Sequence[str], roles: Roles) -> None:
    if roles.label is None:
        raise StreamFileInvalid(
            f"{name}: which column is to be learned? Say --label COLUMN; it has {', '.join(columns)}"
        )
    options = {"--label": roles.label, "--id": roles.id, "--timestamp": roles.timestamp, "--key": roles.key}
    for option, column in options.items():
        if column is not None and column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(columns)}"
            raise StreamFileInvalid(f"{name}: there is no column {column!r} for {option}; {hint}")


def _envelopes(file: StreamFile) -> Iterator[Row]:
    for number, row in enumerate(file, start=1):
        if not isinstance(row.get("features"), Mapping) and "label" not in row:
            raise StreamFileInvalid(
                f"{file.name}: object {number} is no event in the envelope format; if its fields are features, "
                "say which one is to be learned: --label FIELD"
            )
        yield row


def _from_rows(file: StreamFile, roles: Roles, label: str) -> Iterator[Event]:
    nested = file.columns is None
    parts = frozenset(part for part in (label, roles.id, roles.timestamp) if part is not None)
    for number, row in enumerate(file, start=1):
        features = _flat(file.name, number, row, parts) if nested else dict(row)
        event = Event(features, features.pop(label, None))
        if roles.id is not None:
            event.id = features.pop(roles.id, None)
        if roles.timestamp is not None:
            event.timestamp = features.pop(roles.timestamp, None)
        yield event


def _flat(name: str, number: int, row: Row, parts: frozenset[str]) -> dict[str, Any]:
    """Return the fields of an object by dotted names, as the decoder of flat events names them."""
    try:
        return dict(flatten(row, parts=parts))
    except FeatureInvalid as error:
        raise StreamFileInvalid(f"{name}: object {number}: {error}") from None
