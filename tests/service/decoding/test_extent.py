"""What would take too much memory as columns is taken in pieces, or refused as a whole; nothing is lost or repeated."""

from typing import Any

import pytest

from consumers.source import Position
from models.examples import FeatureKey, Kind
from service.decoding import extent
from service.decoding.columns import features_from_rows
from service.decoding.event_bodies import events_from_body
from service.decoding.extent import TooWide, check_cells, in_parts
from service.errors import RequestInvalid
from service.events import EventDecoder
from tests.support.events import ENVELOPE, record, records


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a table have 20 places, so that a test can fill it."""
    monkeypatch.setattr(extent, "MAXIMUM_CELLS", 20)
    monkeypatch.setattr(extent, "_SPARSEST", 1)


def event(*names: str) -> dict[str, Any]:
    """Return an event with a number of each name."""
    return {"features": dict.fromkeys(names, 1), "label": 1}


def test_a_full_table_may_be_large() -> None:
    """Fails when events of one shape are refused because there are many of them."""
    check_cells(1000, 50, 50_000)
    assert len(features_from_rows([{"a": 1, "b": 2}] * 100)) == 100


def test_records_with_little_in_common_are_decoded_in_pieces() -> None:
    """Fails when a flood of names takes the memory, or when splitting it loses or repeats an event."""
    decoder = EventDecoder(ENVELOPE, {})
    pieces = list(decoder.pieces(records(*(event(f"a{n}", f"b{n}") for n in range(16)))))
    assert len(pieces) > 1
    assert [name for piece in pieces for name in piece.examples.features.keys][:2] == [
        FeatureKey("a0", Kind.NUMBER),
        FeatureKey("a1", Kind.NUMBER),
    ]
    assert sum(len(piece.examples) for piece in pieces) == 16
    assert [piece.positions[0] for piece in pieces] == sorted({piece.positions[0] for piece in pieces})
    assert pieces[-1].positions == {0: Position(16)}
    assert not any(piece.rejected for piece in pieces)


def test_pieces_begin_where_reading_does() -> None:
    """Fails when events from before the place where reading begins come back because records were decoded twice."""
    decoder = EventDecoder(ENVELOPE, {0: Position(0, 1)})
    first = record([event("x"), event("y")], 0)
    rest = [record(event(f"a{n}", f"b{n}"), n) for n in range(1, 16)]
    pieces = list(decoder.pieces([first, *rest]))
    assert len(pieces) > 1
    assert sum(len(piece.examples) for piece in pieces) == 16


def test_one_message_is_refused_as_a_whole_whatever_was_seen_before() -> None:
    """Fails when a message is refused in part, or by a decoder that knows its shape and by no other."""
    message = record([event(f"a{n}") for n in range(6)])
    for known in ([], [event(*(f"a{n}" for n in range(6)))] * 3):
        decoder = EventDecoder(ENVELOPE, {})
        decoder.decode(records(*known))
        decoded = decoder.decode([message])
        assert len(decoded.examples) == 0
        (letter,) = decoded.rejected
        assert (letter.index, letter.reason, letter.value) == (0, "malformed", message.value)
        assert decoded.positions == {0: Position(1)}
        assert decoded.events == 1


def test_a_long_vector_counts_for_all_rows() -> None:
    """Fails when one long vector makes a matrix of its length for every other row."""
    with pytest.raises(TooWide, match="too little in common"):
        features_from_rows([{"v": [1] * 12}, {"a": 1}, {"a": 2}])


def test_a_body_is_refused_rather_than_taken_in_part() -> None:
    """Fails when a request whose events cannot be decoded together is answered as if they could."""
    body = b"\n".join(b'{"features":{"a%d":1},"label":1}' % n for n in range(6))
    with pytest.raises(RequestInvalid, match="too little in common") as refused:
        events_from_body(body, "application/x-ndjson", EventDecoder(ENVELOPE, {}))
    assert refused.value.status == 400


def test_long_names_around_many_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when the name of an object is repeated for each value within it without end."""
    monkeypatch.setattr(extent, "MAXIMUM_NAMES", 100)
    with pytest.raises(TooWide, match="dotted names"):
        features_from_rows([{"a" * 30: {"b": 1, "c": 1}}] * 2)
    assert len(features_from_rows([{"a" * 30: 1, "b" * 40: 2}] * 2)) == 2


def test_parts_hold_as_much_as_fits() -> None:
    """Fails when parts leave out records, repeat some, or are larger than they must be."""
    assert in_parts([], 10) == []
    assert in_parts([4, 4, 4, 20, 1, 1], 10) == [(0, 2), (2, 3), (3, 4), (4, 6)]
