"""Bodies of POST /events: which of their events go into the log, and what the sender is told of the others."""

import json

import pytest

from service.decoding.event_problems import Problem
from service.errors import RequestInvalid
from service.events import EventDecoder, events_from_body
from tests.support.events import ENVELOPE

GOOD = {"features": {"a": 1}, "label": "x"}


def test_only_the_shape_is_checked_without_a_decoder() -> None:
    """Fails when an object is refused, or something that is none is accepted."""
    body = json.dumps([GOOD, 3, {"any": "thing"}]).encode()
    (first, second, third) = events_from_body(body, "")
    assert first == (0, json.dumps(GOOD).encode())
    assert second[0] == 1
    assert isinstance(second[1], Problem)
    assert second[1].reason == "not_an_event"
    assert third == (2, b'{"any": "thing"}')


def test_lines_are_numbered_without_the_blank_ones() -> None:
    """Fails when the sender is told of another line than the one that is broken."""
    body = b"\n".join([json.dumps(GOOD).encode(), b"", b"{", b'{"a":1e999}'])
    events = events_from_body(body, "application/x-ndjson; charset=utf-8")
    assert [(index, isinstance(event, Problem)) for index, event in events] == [(0, False), (1, True), (2, True)]


def test_an_event_in_the_log_is_one_line() -> None:
    """Fails when a pretty-printed event comes to the log as several lines, which is slow to decode."""
    ((_, event),) = events_from_body(json.dumps(GOOD, indent=2).encode(), "application/json")
    assert isinstance(event, bytes)
    assert b"\n" not in event
    assert json.loads(event) == GOOD


def test_the_models_decoder_refuses_what_it_could_not_use() -> None:
    """Fails when an event is acknowledged that is bound for the dead letters."""
    decoder = EventDecoder(ENVELOPE, {})
    body = json.dumps([GOOD, {"features": {"a": [{}]}}, {"features": {}, "weight": -1}, {"label": 1}]).encode()
    for _ in range(2):
        events = events_from_body(body, "application/json", decoder)
        problems = [event.reason if isinstance(event, Problem) else None for _, event in events]
        assert problems == [None, "feature", "weight", "not_an_event"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[{}", "application/json", 400),
        (b"", "application/x-ndjson", 400),
        (b"{}", "text/csv", 415),
        (b"nonsense", "application/vnd.apache.arrow.stream", 400),
    ],
)
def test_a_body_that_is_broken_as_a_whole_is_refused(body: bytes, content_type: str, status: int) -> None:
    """Fails when a broken request is answered as if it held events."""
    with pytest.raises(RequestInvalid) as caught:
        events_from_body(body, content_type, EventDecoder(ENVELOPE, {}))
    assert caught.value.status == status
