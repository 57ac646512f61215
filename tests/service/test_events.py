"""Records into examples: what an event may be, what becomes of what is none, and where everything came from."""

import json
import time

import numpy as np
import pytest

from consumers.source import Position
from models.examples import FeatureKey, Kind
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import ENVELOPE, NDJSON, decode, reasons, record, records

GOOD = {"features": {"price": 3.2}, "label": "late"}


def experienced() -> EventDecoder:
    """Return a decoder that takes the fast path at its next call."""
    decoder = EventDecoder(ENVELOPE, {})
    for _ in range(2):
        decoder.decode(records(GOOD, {"features": {"a": 1}, "label": 1}))
    return decoder


def test_every_kind_of_feature_finds_its_column() -> None:
    """Fails when a kind that the contract names is not understood, or lands in another kind's column."""
    event = {
        "id": "a1",
        "features": {
            "price": 3.2,
            "city": "Oslo",
            "express": True,
            "note": None,
            "tokens": ["big", "red"],
            "embedding": [0.1, -3],
            "nothing": [],
        },
        "label": "late",
        "timestamp": 1763683200.0,
        "weight": 2,
    }
    examples = decode(event).examples
    assert examples.features.keys == (
        FeatureKey("embedding[0]", Kind.VECTOR),
        FeatureKey("embedding[1]", Kind.VECTOR),
        FeatureKey("express", Kind.BOOLEAN),
        FeatureKey("price", Kind.NUMBER),
    )
    assert examples.features.numbers.tolist() == [[0.1, -3.0, 1.0, 3.2]]
    assert examples.features.categories == {"city": ["Oslo"]}
    assert examples.features.tokens == {"tokens": [["big", "red"]]}
    assert list(examples.labels) == ["late"]
    assert examples.weights.tolist() == [2.0]
    assert examples.timestamps.tolist() == [1763683200.0]


def test_one_name_may_carry_several_kinds() -> None:
    """Fails when a name that is a number here and a category there loses one of them."""
    decoded = decode(
        {"features": {"a": 1}, "label": 0},
        {"features": {"a": "x"}, "label": 0},
        {"features": {"a": True}, "label": 0},
        {"features": {"a": [1]}, "label": 0},
        {"features": {"a": ["t"]}, "label": 0},
    )
    features = decoded.examples.features
    assert [key.kind for key in features.keys] == [Kind.NUMBER, Kind.BOOLEAN, Kind.VECTOR]
    assert np.nan_to_num(features.numbers, nan=-1).tolist() == [
        [1, -1, -1],
        [-1, -1, -1],
        [-1, 1, -1],
        [-1, -1, 1],
        [-1, -1, -1],
    ]
    assert features.categories == {"a": [None, "x", None, None, None]}
    assert features.tokens == {"a": [None, None, None, None, ["t"]]}


def test_objects_within_features_become_dotted_names() -> None:
    """Fails when an envelope's nested features are lost, or named otherwise than those of a flat event."""
    features = decode({"features": {"order": {"items": {"count": 3}}}, "label": 1}).examples.features
    assert features.keys == (FeatureKey("order.items.count", Kind.NUMBER),)


def test_integers_beyond_the_exact_floats_are_numbers() -> None:
    """Fails when a large integer is refused, or rounded otherwise than to the nearest float."""
    values = [2**53 + 1, 2**64 + 1, -(10**30)]
    decoded = decode(*({"features": {"n": value}, "label": 1} for value in values))
    assert decoded.examples.features.numbers[:, 0].tolist() == [float(value) for value in values]


POISON = {
    "broken JSON": (b'{"features": {"a": 1}, "label"', "malformed"),
    "no JSON": (b"hello", "malformed"),
    "no UTF-8": (b'{"features": {"a": "\xff"}, "label": 1}', "malformed"),
    "half a surrogate": (b'{"features": {"a": "\\ud800"}, "label": 1}', "malformed"),
    "empty": (b"", "malformed"),
    "blank": (b" \n ", "malformed"),
    "two objects": (json.dumps(GOOD).encode() * 2, "malformed"),
    "NaN": (b'{"features": {"a": NaN}, "label": 1}', "malformed"),
    "infinity": (b'{"features": {"a": Infinity}, "label": 1}', "malformed"),
    "float too large": (b'{"features": {"a": 1e999}, "label": 1}', "malformed"),
    "lists without end": (b'{"features": {"a": ' + b"[" * 200_000, "malformed"),
    "objects without end": (b'{"a":' * 200_000, "malformed"),
    "deep objects": (b'{"features": ' + b'{"a":' * 50 + b"1" + b"}" * 50 + b', "label": 1}', "feature"),
    "integer too large": (b'{"features": {"a": 1' + b"0" * 400 + b'}, "label": 1}', "feature"),
    "number": (b"3", "not_an_event"),
    "text": (b'"x"', "not_an_event"),
    "null": (b"null", "not_an_event"),
    "list of lists": (b"[[1]]", "not_an_event"),
    "nothing in it": ({}, "not_an_event"),
    "features no object": ({"features": [1, 2], "label": 1}, "not_an_event"),
    "label of nothing": ({"label": 1}, "not_an_event"),
    "id no text": ({"features": {"a": 1}, "label": 1, "id": [1]}, "not_an_event"),
    "id a boolean": ({"features": {"a": 1}, "label": 1, "id": True}, "not_an_event"),
    "megabytes of text": ({"features": {"a": "x" * 2_000_000}, "label": 1}, "feature"),
    "megabytes of token": ({"features": {"a": ["x" * 2_000_000]}, "label": 1}, "feature"),
    "long name": ({"features": {"n" * 2000: 1}, "label": 1}, "feature"),
    "list of objects": ({"features": {"a": [{}]}, "label": 1}, "feature"),
    "mixed list": ({"features": {"a": [1, "x"]}, "label": 1}, "feature"),
    "list with null": ({"features": {"a": [1, None]}, "label": 1}, "feature"),
    "list of booleans": ({"features": {"a": [True]}, "label": 1}, "feature"),
    "huge component": (b'{"features": {"a": [1' + b"0" * 400 + b']}, "label": 1}', "feature"),
    "too many features": ({"features": {str(n): 1 for n in range(10_001)}, "label": 1}, "feature"),
    "too long a vector": ({"features": {"a": [0] * 10_001}, "label": 1}, "feature"),
    "too many tokens": ({"features": {"a": ["x"] * 10_001}, "label": 1}, "feature"),
    "one name twice": ({"features": {"a.b": 1, "a": {"b": 2}}, "label": 1}, "feature"),
    "label an object": ({"features": {"a": 1}, "label": {"is": 1}}, "label"),
    "label a list": ({"features": {"a": 1}, "label": [1]}, "label"),
    "label too long": ({"features": {"a": 1}, "label": "x" * 1001}, "label"),
    "label too large": ({"features": {"a": 1}, "label": 10**30}, "label"),
    "weight negative": ({"features": {"a": 1}, "label": 1, "weight": -1}, "weight"),
    "weight a text": ({"features": {"a": 1}, "label": 1, "weight": "1"}, "weight"),
    "weight a boolean": ({"features": {"a": 1}, "label": 1, "weight": True}, "weight"),
    "weight too large": ({"features": {"a": 1}, "label": 1, "weight": 1e300}, "weight"),
    "timestamp no time": ({"features": {"a": 1}, "label": 1, "timestamp": "yesterday"}, "timestamp"),
    "timestamp a boolean": ({"features": {"a": 1}, "label": 1, "timestamp": True}, "timestamp"),
    "timestamp too late": ({"features": {"a": 1}, "label": 1, "timestamp": 1e18}, "timestamp"),
    "timestamp huge": (b'{"features": {"a": 1}, "label": 1, "timestamp": 1' + b"0" * 400 + b"}", "timestamp"),
}


@pytest.mark.parametrize("knows", [False, True])
@pytest.mark.parametrize(("value", "reason"), POISON.values(), ids=POISON)
def test_a_bad_event_costs_one_event(value: object, reason: str, knows: bool) -> None:
    """Fails when a bad event gets through, under another reason, or takes its neighbours with it."""
    decoder = experienced() if knows else EventDecoder(ENVELOPE, {})
    decoded = decoder.decode(records(GOOD, value, GOOD))
    assert reasons(decoded) == [(1, 0, reason)]
    assert len(decoded.rejected[0].detail) <= 500
    assert decoded.examples.features.numbers.tolist() == [[3.2], [3.2]]
    assert decoded.track.next_offsets.tolist() == [1, 3]
    assert decoded.positions == {0: Position(3, 0)}
    assert (decoded.events, decoded.unlabelled) == (3, 0)


@pytest.mark.parametrize("bad", [b"[" * 200_000, b'[{"features": {}, "label": 1}', b"[1, 2"])
def test_a_broken_array_is_one_dead_letter(bad: bytes) -> None:
    """Fails when an array whose elements cannot be told apart stops decoding, or is dropped in silence."""
    assert reasons(decode(GOOD, bad)) == [(1, 0, "malformed")]


def test_messages_that_only_together_make_events_are_not_joined() -> None:
    """Fails when decoding many messages in one call lets one message's bytes complete another's."""
    decoder = experienced()
    good = json.dumps(GOOD).encode()
    decoded = decoder.decode(records(good[:10], good[10:], good + good, b"", good + b"\n" + good, good))
    assert [offset for offset, _, _ in reasons(decoded)] == [0, 1, 2, 3, 4]
    assert decoded.track.next_offsets.tolist() == [6]


def test_as_many_objects_as_messages_is_not_enough_to_join_them() -> None:
    """Fails when two messages that make one event, and one that holds two, are taken for one event each."""
    decoder = experienced()
    good = json.dumps(GOOD).encode()
    decoded = decoder.decode(records(good[:1], good[1:], good + good))
    assert [offset for offset, _, _ in reasons(decoded)] == [0, 1, 2]


def test_tombstones_are_ignored_and_passed() -> None:
    """Fails when a tombstone counts as an event, or holds up the position."""
    decoded = decode(None, GOOD, None)
    assert (decoded.events, reasons(decoded)) == (1, [])
    assert decoded.track.positions() == {0: Position(2, 0)}
    assert decoded.positions == {0: Position(3, 0)}


def test_nothing_but_tombstones() -> None:
    """Fails when records without a single event cannot be decoded."""
    decoded = decode(None, None)
    assert (len(decoded.examples), len(decoded.track), decoded.events) == (0, 0, 0)
    assert decoded.positions == {0: Position(2, 0)}


def test_what_waits_for_its_other_half_is_counted() -> None:
    """Fails when observations or early labels are taken for examples, or for bad events."""
    decoded = decode({"features": {"a": 1}}, {"id": "x", "label": 1}, {"features": {"a": None}, "label": None}, GOOD)
    assert (decoded.events, decoded.unlabelled, reasons(decoded)) == (4, 3, [])
    assert decoded.examples.features.keys == (FeatureKey("price", Kind.NUMBER),)


def test_an_observation_with_bad_features_is_a_dead_letter() -> None:
    """Fails when what can never be learned is left waiting for a label."""
    assert reasons(decode({"features": {"a": [{}]}})) == [(0, 0, "feature")]


def test_arrays_and_lines_hold_many_events() -> None:
    """Fails when events of one message are numbered wrongly, or a bad one takes the others with it."""
    lines = [json.dumps(GOOD), "", "{", json.dumps(GOOD), json.dumps({"features": {"a": 1}}), ""]
    array = [GOOD, {"features": 3, "label": 1}, GOOD, []]
    messages = [record("\n".join(lines).encode(), 0, headers=NDJSON), record(array, 1)]
    decoded = EventDecoder(ENVELOPE, {}).decode(messages)
    assert reasons(decoded) == [(0, 1, "malformed"), (1, 1, "not_an_event"), (1, 3, "not_an_event")]
    assert [each.value for each in decoded.rejected] == [b"{", json.dumps(array[1]).encode(), b"[]"]
    assert decoded.track.next_offsets.tolist() == [0, 1, 1, 2]
    assert decoded.track.next_events.tolist() == [1, 0, 1, 0]
    assert (decoded.events, decoded.unlabelled) == (8, 1)


def test_an_empty_array_holds_no_event() -> None:
    """Fails when a message of no events is taken for a broken one, or holds up the position."""
    decoded = decode([], GOOD, [])
    assert (decoded.events, reasons(decoded)) == (1, [])
    assert decoded.positions == {0: Position(3, 0)}


def test_too_many_events_in_one_message_are_refused_as_one() -> None:
    """Fails when a message of empty events becomes millions of dead letters."""
    assert reasons(decode(b"[" + b"1," * 100_000 + b"1]")) == [(0, 0, "malformed")]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"application/json; charset=utf-8", None),
        (b"Application/JSON", None),
        (b"", None),
        (b"application/x-ndjson", None),
        (b"application/avro", "content_type"),
        (b"\xff\xfe", "content_type"),
    ],
)
def test_the_content_type_decides(header: bytes, reason: str | None) -> None:
    """Fails when a type is misread, or an unknown one is decoded by guesswork."""
    message = record(GOOD, headers=(("x-trace", b"1"), ("Content-Type", header)))
    decoder = EventDecoder(ENVELOPE, {})
    for _ in range(2):
        decoded = decoder.decode([message])
        assert [each.reason for each in decoded.rejected] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (1763683200, 1763683200.0),
        (1763683200123, 1763683200.123),
        (-5.5, -5.5),
        (0, 0.0),
        ("2025-11-21T00:00:00Z", 1763683200.0),
        ("2025-11-21T00:00:00", 1763683200.0),
        ("2025-11-21", 1763683200.0),
        ("2025-11-21T01:00:00.5+01:00", 1763683200.5),
        (None, np.nan),
    ],
)
def test_timestamps(timestamp: object, seconds: float) -> None:
    """Fails when an event's time is misread: milliseconds for seconds, or local time for UTC."""
    decoded = decode({**GOOD, "timestamp": timestamp}, {**GOOD, "timestamp": 1.5})
    np.testing.assert_array_equal(decoded.examples.timestamps, [seconds, 1.5])


def test_a_time_without_a_zone_is_utc_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when an event's time depends on where the machine stands."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        decoded = decode({**GOOD, "timestamp": "2025-11-21T00:00:00"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert decoded.examples.timestamps.tolist() == [1763683200.0]


def test_events_before_the_start_are_neither_returned_nor_counted() -> None:
    """Fails when a message that a microbatch split is learned, or rejected, once more after a restart."""
    bad = {"features": 3}
    messages = records(GOOD, [bad, GOOD, bad, {"features": {}}, GOOD], GOOD)
    decoder = EventDecoder(ENVELOPE, {0: Position(1, 2), 7: Position(5, 0)})
    decoded = decoder.decode(messages)
    assert reasons(decoded) == [(1, 2, "not_an_event")]
    assert (decoded.events, decoded.unlabelled) == (4, 1)
    assert decoded.track.next_offsets.tolist() == [2, 3]
    assert decoder.decode(records(GOOD)).events == 1


def test_a_row_after_which_nothing_usable_comes_passes_the_message() -> None:
    """Fails when bad or unlabelled events at a message's end hold up its offset."""
    decoded = decode([GOOD, GOOD, {"features": {"a": 1}}, 3])
    assert decoded.track.next_offsets.tolist() == [0, 1]
    assert decoded.track.next_events.tolist() == [1, 0]


def test_the_track_shares_a_message_out_over_its_events() -> None:
    """Fails when bytes or times are not those of the record."""
    value = json.dumps([GOOD, GOOD]).encode()
    decoded = EventDecoder(ENVELOPE, {}).decode([record(value, 5, partition=3)])
    assert decoded.track.sizes.tolist() == [len(value) // 2] * 2
    assert decoded.track.partitions.tolist() == [3, 3]
    assert decoded.track.appended.tolist() == [1_763_683_200_005] * 2
    assert decoded.positions == {3: Position(6, 0)}


def test_a_dead_letter_carries_what_the_record_had() -> None:
    """Fails when a dead letter could not be told apart or sent again."""
    source = record(b"{", 4, partition=2, headers=(("h", b"v"),), key=b"k")
    rejected = EventDecoder(ENVELOPE, {}).decode([source]).rejected[0]
    assert (rejected.partition, rejected.offset, rejected.index) == (2, 4, 0)
    assert (rejected.value, rejected.key, rejected.headers) == (b"{", b"k", (("h", b"v"),))
    assert rejected.timestamp == source.timestamp


def test_a_flat_event_is_read_by_its_paths() -> None:
    """Fails when a topic that knows nothing of Headrace cannot be learned by configuration alone."""
    options = EventOptions(
        format="flat", label="order.late", id="order.id", timestamp="at", weight="w", exclude=("debug", "order.x*")
    )
    event = {
        "order": {"id": 7, "late": True, "items": {"count": 3, "names": ["a", "b"]}, "xray": [{}]},
        "at": "2025-11-21T00:00:00Z",
        "w": 0.5,
        "city": "Oslo",
        "debug": {"deep": {"things": [{}]}},
    }
    examples = decode(event, options=options).examples
    assert examples.features.keys == (FeatureKey("order.items.count", Kind.NUMBER),)
    assert examples.features.categories == {"city": ["Oslo"]}
    assert examples.features.tokens == {"order.items.names": [["a", "b"]]}
    assert (list(examples.labels), examples.weights.tolist()) == ([True], [0.5])
    assert examples.timestamps.tolist() == [1763683200.0]


def test_only_what_is_included_is_taken() -> None:
    """Fails when a pattern on an object does not cover what is within it, or on a name covers too much."""
    options = EventOptions(format="flat", label="y", include=("order", "p?ice"), exclude=("order.secret",))
    event = {"y": 1, "order": {"n": 1, "secret": 2, "deep": {"m": 2}}, "price": 3, "other": [{}], "prices": 4}
    features = decode(event, options=options).examples.features
    assert [key.name for key in features.keys] == ["order.deep.m", "order.n", "price"]


def test_a_flat_event_of_only_id_and_label_is_a_label() -> None:
    """Fails when a late label in flat format is learned as an example of nothing."""
    options = EventOptions(format="flat", label="y", id="id")
    decoded = decode({"id": 1, "y": 1}, {"id": 1, "y": 1, "a": None}, {"y": 1}, {"id": 1}, options=options)
    assert (decoded.unlabelled, len(decoded.examples), reasons(decoded)) == (2, 1, [(3, 0, "not_an_event")])


def test_the_record_key_may_be_the_id() -> None:
    """Fails when a label whose id is its record's key is refused for having none."""
    options = EventOptions(id="$key")
    decoded = EventDecoder(options, {}).decode([record({"label": 1}, 0, key=b"a"), record({"label": 1}, 1)])
    assert (decoded.unlabelled, reasons(decoded)) == (1, [(1, 0, "not_an_event")])


def test_a_declared_schema_is_checked() -> None:
    """Fails when a declared feature of another kind gets through, or an undeclared one does not."""
    kinds = {"n": Kind.NUMBER, "b": Kind.BOOLEAN, "c": Kind.CATEGORY, "t": Kind.TOKENS, "v": Kind.VECTOR}
    options = EventOptions(features=kinds)
    good = {"n": 1, "b": True, "c": "x", "t": ["a"], "v": [1], "free": "anything"}
    bad = [{"n": "1"}, {"b": 1}, {"c": 1.5}, {"c": True}, {"t": [1]}, {"v": ["a"]}, {"v": 1}]
    decoder = EventDecoder(options, {})
    for _ in range(2):
        decoded = decoder.decode(records(*({"features": features, "label": 1} for features in (good, *bad, {"c": 7}))))
        assert [offset for offset, _, reason in reasons(decoded) if reason == "feature"] == list(range(1, 8))
        assert decoded.examples.features.categories == {"c": ["x", "7"], "free": ["anything", None]}


def test_observations_are_examples_only_where_they_are_of_use() -> None:
    """Fails when a teacher is never asked about what has no label, or a model without one learns that."""
    events = [GOOD, {"features": {"price": 1.5}}, {"id": "a", "label": "late"}, GOOD]
    for decoder in (EventDecoder(ENVELOPE, {}, observations=True), EventDecoder(ENVELOPE, {})):
        for _ in range(2):  # one by one, and then many at once
            decoded = decoder.decode(records(*events, {"features": {"price": 2.5}}))
            wanted = decoded.examples.labelled is not None
            assert decoded.examples.features.numbers[:, 0].tolist() == ([3.2, 1.5, 3.2, 2.5] if wanted else [3.2, 3.2])
            assert len(decoded.track) == len(decoded.examples)
            assert (decoded.events, decoded.unlabelled) == (5, 1 if wanted else 3)
            assert (decoded.examples.labelled is None) or decoded.examples.labelled.tolist() == [
                True,
                False,
                True,
                False,
            ]
