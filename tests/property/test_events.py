"""What an event means depends on nothing but the event: not on the path it took, nor on what was decoded before it."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from consumers.source import StoredRecord
from models.examples import Features, Kind
from service.decoding.decoded import DecodedEvents
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import NDJSON, record, seen

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "label", "id", "weight", "timestamp", "x"]),
    st.text(max_size=3),
)
TEXTS = st.one_of(st.sampled_from(["x", "y", ""]), st.text(max_size=5))
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 10**30, 10**400, 2**53 + 1, 1.0]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
LISTS = st.one_of(
    st.lists(NUMBERS, max_size=3),
    st.lists(TEXTS, max_size=3),
    st.lists(SCALARS, max_size=2),
    st.lists(st.dictionaries(NAMES, SCALARS, max_size=1), max_size=2),
)
VALUES = st.recursive(st.one_of(SCALARS, LISTS), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
LABELS = st.one_of(st.sampled_from([0, 1, "late", True, 1.0, 2.5, None]), SCALARS)
TIMES = st.sampled_from([0, 1.5, 1763683200123, "2025-11-21", "2025-11-21T00:00:00+02:00", "soon", 1e15, None, True])
SHARES = st.one_of(st.sampled_from([0, 1, 0.25, 1.0005, 2, "much"]), SCALARS)
PREDICTIONS = st.fixed_dictionaries(
    {"model_version": st.one_of(st.integers(0, 5), st.sampled_from([0, -1, 2**63, 1.0, True]))},
    optional={"probabilities": st.dictionaries(NAMES, SHARES, max_size=3), "value": NUMBERS},
)
ENVELOPES = st.fixed_dictionaries(
    {"features": st.one_of(OBJECTS, OBJECTS, OBJECTS, VALUES)},
    optional={
        "label": LABELS,
        "id": st.one_of(st.sampled_from(["i", 3]), VALUES),
        "timestamp": TIMES,
        "weight": st.one_of(st.sampled_from([1, 0.5, 0]), SCALARS),
        "prediction": st.one_of(PREDICTIONS, PREDICTIONS, VALUES),
        "else": VALUES,
    },
)
LABELS_ALONE = st.fixed_dictionaries(
    {"id": st.sampled_from(["i", 3]), "label": LABELS}, optional={"features": st.none()}
)
EVENTS = st.one_of(ENVELOPES, ENVELOPES, LABELS_ALONE, OBJECTS, VALUES)
JUNK = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"{", b"}", b"{}{}", b"", b" ", b"[", b'{"features": {}', b"1e999"])
)
OPTIONS = st.sampled_from(
    [
        EventOptions(),
        EventOptions(include=("a", "x*"), exclude=("a.b",)),
        EventOptions(features={"a": Kind.CATEGORY, "b": Kind.NUMBER, "c": Kind.VECTOR}),
        EventOptions(id="$key"),
        EventOptions(format="flat", label="label", id="id", timestamp="timestamp", weight="weight"),
        EventOptions(format="flat", label="a.b", id="$key", exclude=("c", "x.a"), features={"x": Kind.BOOLEAN}),
        EventOptions(format="flat", label="label", prediction="x"),
        EventOptions(format="flat", label="label", include=("a", "b.?"), exclude=("a.c",)),
        EventOptions(dedup_window=8, source="a"),
        EventOptions(format="flat", label="label", id="$key", dedup_window=8, source="$key"),
    ]
)


def as_bytes(value: Any) -> bytes:
    """Return compact JSON, without escapes where there can be none."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


@st.composite
def messages(draw: st.DrawFn) -> list[StoredRecord]:
    """Draw some records: events alone, in arrays and in lines, junk, tombstones."""
    drawn = []
    for offset in range(draw(st.integers(0, 6))):
        shape = draw(st.integers(0, 9))
        events = draw(st.lists(EVENTS, max_size=3))
        if shape == 0:
            drawn.append(record(draw(st.one_of(st.none(), JUNK)), offset))
        elif shape == 1:
            drawn.append(record(as_bytes(events), offset))
        elif shape == 2:
            lines = [as_bytes(event) for event in events] + draw(st.lists(JUNK, max_size=1))
            drawn.append(record(draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])).join(lines), offset, headers=NDJSON))
        else:
            drawn.append(record(as_bytes(draw(EVENTS)), offset, key=draw(st.sampled_from([None, b"k"]))))
    return drawn


@given(OPTIONS, messages(), st.lists(messages(), max_size=3), st.booleans())
def test_experience_changes_nothing(
    options: EventOptions, batch: list[StoredRecord], before: list[list[StoredRecord]], joined: bool
) -> None:
    """Fails when the typed path and the general path disagree about any event."""
    experienced = EventDecoder(options, {}, joined=joined)
    for earlier in before * 2:
        experienced.decode(earlier)
    fresh = seen(EventDecoder(options, {}, joined=joined).decode(batch))
    assert seen(experienced.decode(batch)) == fresh
    assert seen(experienced.decode(batch)) == fresh
    assert seen(experienced.decode(batch)) == fresh


@given(OPTIONS, messages())
def test_a_message_means_the_same_alone(options: EventOptions, batch: list[StoredRecord]) -> None:
    """Fails when decoding messages together mixes them up."""
    together = EventDecoder(options, {}).decode(batch)
    alone = [EventDecoder(options, {}).decode([each]) for each in batch]
    assert together.events == sum(each.events for each in alone)
    assert together.unlabelled == sum(each.unlabelled for each in alone)
    assert together.rejected == [rejected for each in alone for rejected in each.rejected]
    assert list(together.examples.labels) == [label for each in alone for label in each.examples.labels]
    assert _named(together) == [name for each in alone for name in _named(each)]
    assert rows_of(together.examples.features) == [row for each in alone for row in rows_of(each.examples.features)]


def _named(decoded: DecodedEvents) -> list[Any]:
    """Return the digests of each row's id and source."""
    examples = decoded.examples
    if examples.sources is None or examples.ids is None:
        return [None] * len(examples)
    return list(zip(examples.ids.tolist(), examples.sources.tolist(), strict=True))


def rows_of(features: Features) -> list[dict[tuple[str, str], Any]]:
    """Return features row by row: identity → value, missing ones left out."""
    rows: list[dict[tuple[str, str], Any]] = [{} for _ in range(features.rows)]
    for row, numbers in zip(rows, features.numbers.tolist(), strict=True):
        row.update({key: n for key, n in zip(features.keys, numbers, strict=True) if not math.isnan(n)})
    columns: Sequence[tuple[Kind, Any]] = ((Kind.CATEGORY, features.categories), (Kind.TOKENS, features.tokens))
    for kind, named in columns:
        for name, column in named.items():
            for row, value in zip(rows, column, strict=True):
                if value is not None:
                    row[name, kind] = value
    return rows


USABLE = st.dictionaries(
    st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), max_size=4),
    st.one_of(
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
        st.lists(st.text(max_size=3), min_size=1, max_size=3),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3),
        st.lists(st.integers(-5, 5), min_size=1, max_size=3),
    ),
    max_size=6,
)


def expected_row(features: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Return what the contract says that these features are."""
    row: dict[tuple[str, str], Any] = {}
    for name, value in features.items():
        if isinstance(value, bool):
            row[name, Kind.BOOLEAN] = float(value)
        elif isinstance(value, int | float):
            row[name, Kind.NUMBER] = float(value)
        elif isinstance(value, str):
            row[name, Kind.CATEGORY] = value
        elif isinstance(value[0], str):
            row[name, Kind.TOKENS] = value
        else:
            row.update({(f"{name}[{i}]", Kind.VECTOR): float(number) for i, number in enumerate(value)})
    return row


@given(st.lists(USABLE, min_size=1, max_size=5), st.booleans())
@example([{"a": 2**53 + 1}, {"a": "x", "b": [1, 2]}, {"b": [1]}], True)
def test_what_was_encoded_is_what_is_decoded(rows: list[dict[str, Any]], escaped: bool) -> None:
    """Fails when any usable feature is changed, lost or put elsewhere on its way through JSON and columns."""
    decoder = EventDecoder(EventOptions(), {})
    batch = [
        record(json.dumps({"features": row, "label": number}, ensure_ascii=escaped).encode(), number)
        for number, row in enumerate(rows)
    ]
    for _ in range(3):
        decoded = decoder.decode(batch)
        assert decoded.rejected == []
        assert rows_of(decoded.examples.features) == [expected_row(row) for row in rows]
        assert list(decoded.examples.labels) == list(range(len(rows)))


@given(st.lists(st.sampled_from([b"{", b"}", b'"', b"\n", b'{"features":{},"label":1}', b" ", b","]), max_size=12))
def test_no_bytes_are_ever_taken_for_another_messages(pieces: list[bytes]) -> None:
    """Fails when messages joined for speed are cut at other places than they came."""
    good = b'{"features":{},"label":1}'
    decoder = EventDecoder(EventOptions(), {})
    for _ in range(2):
        decoder.decode([record(good)])
    half = len(pieces) // 2
    values = [good, b"".join(pieces[:half]), b"".join(pieces[half:]), good]
    decoded = decoder.decode([record(value, offset) for offset, value in enumerate(values)])
    alone = [EventDecoder(EventOptions(), {}).decode([record(value, n)]) for n, value in enumerate(values)]
    assert decoded.rejected == [rejected for each in alone for rejected in each.rejected]
    assert decoded.track.next_offsets.tolist() == np.concatenate([each.track.next_offsets for each in alone]).tolist()
