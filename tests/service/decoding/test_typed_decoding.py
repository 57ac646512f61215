"""The fast path takes what it should, and leaves the rest to the general path."""

import json
from typing import Any

import pytest

from models.examples import Kind
from service.decoding.arrow_columns import ArrowColumns
from service.decoding.event_problems import Problem
from service.decoding.flattening import Selection
from service.decoding.one_call import Decoding
from service.decoding.payloads import JSON, NDJSON
from service.decoding.record_batch import RecordBatch
from service.decoding.schema import MAXIMUM_LEAVES
from service.decoding.single_decoding import SingleDecoder
from service.decoding.typed_decoding import TypedDecoder
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import decode, record, records

ENVELOPE = EventOptions()
FLAT = EventOptions(format="flat", label="y", exclude=("skip",))


def taught(options: EventOptions, *events: Any, fitted: int = 0) -> TypedDecoder:
    """Return a typed decoder that has learned from some events."""
    selection = Selection(options.include, options.exclude)
    single = SingleDecoder(options, selection)
    typed = TypedDecoder(options, selection)
    decoded = [single.decode(json.dumps(event).encode()) for event in events]
    typed.learn([event for event in decoded if not isinstance(event, Problem)], fitted)
    return typed


def takes(typed: TypedDecoder, event: Any) -> bool:
    """Whether the typed decoder takes an event."""
    return typed.event(json.dumps(event).encode()) is not None


@pytest.mark.parametrize(
    ("options", "known", "event"),
    [
        (ENVELOPE, {"features": {"a": 1}, "label": 1}, {"features": {"a": 2.5}, "label": "x", "more": [{}]}),
        (ENVELOPE, {"features": {"a": {"b": {"c": "x"}}}}, {"features": {"a": {"b": {"c": None}}}, "weight": 2}),
        (ENVELOPE, {"features": {"a": [1], "b": ["x"]}}, {"features": {"b": [], "a": [2, 3.5]}}),
        (
            ENVELOPE.model_copy(update={"features": {"a": Kind.CATEGORY}}),
            {"features": {"a": 1}},
            {"features": {"a": 7}},
        ),
        (FLAT, {"y": 1, "a": 1, "skip": 1}, {"y": 2, "skip": {"any": [{}]}}),
        (FLAT, {"y": 1, "a": {"b": 1}}, {"a": {"b": 3}, "y": True}),
    ],
)
def test_a_known_shape_is_taken(options: EventOptions, known: Any, event: Any) -> None:
    """Fails when events of a shape seen before are decoded one by one: right, but four times slower."""
    assert takes(taught(options, known), event)


def test_a_name_of_several_kinds_is_taken() -> None:
    """Fails when one odd value sends all later events of its name to the slow path."""
    values: list[Any] = [1, "x", True, [1], ["x"], {"b": 1}]
    typed = taught(ENVELOPE, *({"features": {"a": value}} for value in values))
    assert all(takes(typed, {"features": {"a": value}}) for value in values)


@pytest.mark.parametrize("features", [{"b": 1}, {"a": "x"}, {"a": [[]]}, {"a": True}, 3])
def test_another_shape_is_left_to_the_general_path(features: Any) -> None:
    """Fails when the fast path takes what it cannot put into columns."""
    assert not takes(taught(ENVELOPE, {"features": {"a": 1}}), {"features": features, "label": 1})


@pytest.mark.parametrize("name", ['say "a"', "back\\slash", "new\nline", "n" * 2000])
def test_an_odd_name_does_not_spoil_the_schema(name: str) -> None:
    """Fails when a name that cannot be in a schema slows all other events down, or stops decoding."""
    typed = taught(ENVELOPE, {"features": {name: 1}}, {"features": {"a": 1}})
    assert takes(typed, {"features": {"a": 2}})
    assert not takes(typed, {"features": {name: 2}})


def test_a_flood_of_names_is_forgotten_again() -> None:
    """Fails when names that filled the schema once keep it from learning for ever, or make it grow without bound."""
    typed = taught(ENVELOPE, *({"features": {f"flood{n}": 1}} for n in range(MAXIMUM_LEAVES + 5)))
    assert not takes(typed, {"features": {f"flood{MAXIMUM_LEAVES + 1}": 1}})
    selection = Selection()
    event = SingleDecoder(ENVELOPE, selection).decode(b'{"features": {"a": 1}}')
    assert not isinstance(event, Problem)
    typed.learn([event], 5)
    assert not takes(typed, {"features": {"a": 1}})
    typed.learn([event], 0)
    assert takes(typed, {"features": {"a": 1}})


def test_what_was_not_wanted_may_hold_what_is() -> None:
    """Fails when a field that was left out as a number is not looked into once it is an object."""
    options = EventOptions(include=("a.b",))
    decoder = EventDecoder(options, {})
    for value in (1, {"b": 2}, [1], {"b": 2}):
        decoded = decoder.decode([record({"features": {"a": value}, "label": 1})])
    assert decoded.examples.features.numbers.tolist() == [[2.0]]


def test_minus_zero_is_the_same_on_both_paths() -> None:
    """Fails when an integer's -0 keeps its sign on one path only, so that a replay is not equal to the bit."""
    decoder = EventDecoder(ENVELOPE, {})
    results = [decoder.decode([record(b'{"features": {"a": -0}, "label": 1}')]) for _ in range(2)]
    assert results[0].examples.features.numbers.tobytes() == results[1].examples.features.numbers.tobytes()


def test_whole_messages_are_taken() -> None:
    """Fails when arrays and lines of known events are taken apart without need."""
    typed = taught(ENVELOPE, {"features": {"a": 1}})
    line = b'{"features": {"a": 1}}'
    assert len(typed.message(b"[" + line + b"," + line + b"]", JSON) or ()) == 2
    assert len(typed.message(line + b"\r\n" + line + b"\n", NDJSON) or ()) == 2
    assert typed.message(line + b" " + line, NDJSON) is None
    assert typed.message(line, "application/avro") is None


@pytest.mark.parametrize("value", [{"features": {"a": 1}}, [{"features": {"a": 1}}] * 2, {"features": {"a": {"b": 1}}}])
def test_what_was_decoded_one_by_one_is_known_the_next_time(value: Any) -> None:
    """Fails when nothing is learned from what did not fit, so that decoding stays slow for ever."""
    selection = Selection()
    typed, single = TypedDecoder(ENVELOPE, selection), SingleDecoder(ENVELOPE, selection)
    smooth = []
    for _ in range(2):
        decoding = Decoding(RecordBatch.of(records(value, value)), typed, single, ArrowColumns(ENVELOPE, selection))
        decoding.run(together=True)
        smooth.append(decoding.smooth)
    assert smooth == [False, True]


def test_good_messages_are_decoded_together_again_after_a_bad_one() -> None:
    """Fails when one bad event leaves the decoder on the slower way, or stays unnoticed."""
    decoder = EventDecoder(ENVELOPE, {})
    good = {"features": {"a": 1}, "label": 1}
    for values in ([good], [good, b"{"], [good, good], [good, good]):
        decoded = decoder.decode(records(*values))
        assert decoded.examples.features.numbers.tolist() == decode(*values).examples.features.numbers.tolist()


def test_names_that_never_come_back_make_no_decoder() -> None:
    """Fails when each event with a name of its own has the decoder made anew, and a place in all events after it."""
    known = {"features": {"a": 1}, "label": 1}
    typed = taught(ENVELOPE, known)
    single = SingleDecoder(ENVELOPE, Selection())
    odd = [single.decode(json.dumps({"features": {name: 1}}).encode()) for name in ("x", "y", "x")]
    for event, is_taken in zip(odd, (False, False, True), strict=True):
        assert not isinstance(event, Problem)
        typed.learn([event], fitted=99)
        assert takes(typed, {"features": {"x": 1}}) == is_taken
    assert not takes(typed, {"features": {"y": 1}})


def test_single_bad_messages_do_not_move_the_others() -> None:
    """Fails when good messages around bad ones lose their places, or are lost."""
    decoder = EventDecoder(ENVELOPE, {})
    good = {"features": {"a": 1}, "label": 1}
    for values in ([good] * 3, [good, b"{", [good, good], None, good, b"x"]):
        decoded = decoder.decode(records(*values))
    assert decoded.origins.records.tolist() == [0, 2, 2, 4]
    assert decoded.origins.events.tolist() == [0, 0, 1, 0]
    assert [each.offset for each in decoded.rejected] == [1, 5]
