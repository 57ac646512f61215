"""Events that cannot be used, on their way to the dead letters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from consumers.source import Record, StoredRecord
from service.decoding.event_problems import PayloadInvalid, Problem
from service.decoding.payloads import ARROW, JSON, content_type_of, split
from service.decoding.record_batch import RecordBatch


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be used, as the dead letters keep it.

    Attributes
    ----------
    partition, offset, index
        Which event of which record.
    reason
        ``malformed``, ``not_an_event``, ``feature``, ``label``, ``weight``, ``timestamp``, ``content_type`` or
        ``schema``.
    detail
        What is wrong, for a person.
    value
        The event's own bytes; those of the whole message where events could not be told apart.
    key, headers, timestamp
        The record's, so that `value` may be sent again with them; milliseconds since the epoch.
    whole
        Whether `value` is the whole message.
    """

    partition: int
    offset: int
    index: int
    reason: str
    detail: str
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    whole: bool = False


def rejections(
    batch: RecordBatch, problems: Mapping[tuple[int, int], Problem], *, whole: bool = False
) -> list[Rejected]:
    """Return the dead letters of events, in the order of the log.

    Parameters
    ----------
    batch
        The records.
    problems
        Index of the record in the batch, and of the event within it → what is wrong with it.
    whole
        Whether messages are refused as a whole, whatever events they hold.
    """
    letters: list[Rejected] = []
    bad_ones = Counter(index for index, _ in problems)
    taken_apart: tuple[int, Record, list[bytes]] | None = None
    for (index, event), problem in sorted(problems.items()):
        if taken_apart is None or taken_apart[0] != index:
            record = batch.records[index]
            events = [] if whole else _events_of(record)
            taken_apart = index, _enveloped(record, bad_ones[index], events), events
        letters.append(_letter(*taken_apart[1:], event, problem))
    return letters


def _enveloped(record: Record, letters: int, events: list[bytes]) -> Record:
    """Return `record` with the key and the headers that each of its letters gets: not what would fill a disk."""
    # A producer may leave a header without a value.
    headers = tuple((name, value or b"") for name, value in record.headers)
    if events and content_type_of(headers) == ARROW:
        headers = (*((name, value) for name, value in headers if name.lower() != "content-type"), _AS_JSON)
    size = sum(len(name) + len(value) for name, value in headers)
    if letters * size > _ENVELOPES:
        kept = tuple((name, value) for name, value in headers if name.lower() == "content-type" and len(value) < 1024)
        headers = (*kept, ("headrace-left-out", f"{len(headers)} headers of {size} bytes".encode()))
    key = record.key if letters * len(record.key or b"") <= _ENVELOPES else None
    return StoredRecord(record.partition, record.offset, record.timestamp, key, record.value, headers)


def _events_of(record: Record) -> list[bytes]:
    try:
        return split(record.value or b"", content_type_of(record.headers))
    except PayloadInvalid:
        return []


def _letter(record: Record, events: list[bytes], event: int, problem: Problem) -> Rejected:
    return Rejected(
        record.partition,
        record.offset,
        event,
        problem.reason,
        problem.detail,
        events[event] if event < len(events) else record.value,
        record.key,
        tuple(record.headers),
        record.timestamp,
        event >= len(events),
    )


_ENVELOPES = 16 * 1024 * 1024
"""Bytes that the headers of one message, or its key, may take in all of its letters, which may be 100,000."""

_AS_JSON = ("content-type", JSON.encode())
"""What a row of an Arrow stream becomes when it is alone."""
