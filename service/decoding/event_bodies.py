"""Bodies of ``POST /events`` into events for the log: the decoder's own judgement, before anything is stored.

What it accepts may still be refused by the trainer, for a label that contradicts the task: that is not known here.
"""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from consumers.source import Record
from service.decoding.event_problems import PayloadInvalid, Problem
from service.decoding.payloads import canonical_type, decode_anything, split
from service.errors import RequestInvalid

if TYPE_CHECKING:
    from service.events import EventDecoder
    from service.security.limits_rows import RowLimits

_STATUS = {"content_type": 415}
"""Of a body that cannot be used as a whole; anything else is 400."""


class _Body(NamedTuple):
    """A body in the shape of a record, for the decoder."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


def events_from_body(
    body: bytes, content_type: str, decoder: "EventDecoder | None" = None, limits: "RowLimits | None" = None
) -> list[tuple[int, bytes | Problem]]:
    """Take apart a body, and say of each event whether it may go into the log.

    Parameters
    ----------
    body
        As it came.
    content_type
        The request's header; empty is JSON.
    decoder
        The model's; events that it cannot use are refused. None: any JSON object will do.
    limits
        Events that are out of bounds are refused; None for no bounds.

    Returns
    -------
    list of (index, event)
        One for each event, in order: one line of JSON, or what is wrong with it.

    Raises
    ------
    RequestInvalid
        400 where the body as a whole is broken, 413 where it holds too many events, 415 where its content type is
        none that is known.
    """
    try:
        events = split(body, canonical_type(content_type))
        if limits is not None:
            limits.check_count(len(events), "")
        refused = _refused(events, _Body(body, (("content-type", content_type.encode()),)), decoder)
    except PayloadInvalid as invalid:
        problem = invalid.problem
        raise RequestInvalid(problem.detail, _STATUS.get(problem.reason, 400)) from None
    if limits is not None:
        refused |= {index: beyond for index, event in enumerate(events) if (beyond := limits.problem_in(event))}
    return [(index, refused.get(index) or one_line(event)) for index, event in enumerate(events)]


def _refused(events: list[bytes], body: Record, decoder: "EventDecoder | None") -> dict[int, Problem]:
    """Return index → why the decoder would refuse the event; without one, why it is no JSON object."""
    if decoder is not None:
        return decoder.problems(body)
    decoded = map(decode_anything, events)
    return {index: each for index, each in enumerate(decoded) if isinstance(each, Problem)}


def one_line(event: bytes) -> bytes:
    """Return an event without line breaks, so that many of them can be decoded in one call."""
    return msgspec.json.format(event, indent=-1) if b"\n" in event or b"\r" in event else event
