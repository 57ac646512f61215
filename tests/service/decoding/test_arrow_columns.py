"""Arrow streams straight into columns: every event means what its row would mean as JSON."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from consumers.source import Position, StoredRecord
from models.examples import Kind
from service.decoding.arrow_columns import ArrowColumns
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import ARROW, ENVELOPE, arrow_stream, record, seen

FLAT = EventOptions(format="flat", label="y", id="who", timestamp="at", weight="w")


def struct(**columns: Any) -> pa.Array:
    """Return a column of structs."""
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    return pa.StructArray.from_arrays(arrays, list(columns))


def missing(column: pa.StructArray, *rows: bool) -> pa.Array:
    """Return structs of which those whose mark is true are missing."""
    return pa.StructArray.from_arrays(column.flatten(), fields=list(column.type), mask=pa.array(rows))


NAN = float("nan")
CASES: dict[str, tuple[EventOptions, dict[str, Any]]] = {
    "all kinds": (
        FLAT,
        {
            "y": ["a", "b", None],
            "n": [1.5, NAN, float("inf")],
            "i": pa.array([2**53 + 1, None, -1]),
            "u": pa.array([2**64 - 1, 0, 1], pa.uint64()),
            "h": pa.array(np.array([1, 2, 3], np.float16)),
            "f": pa.array([0.1, None, 3], pa.float32()),
            "b": [True, None, False],
            "t": ["x", None, "ø"],
            "d": pa.array(["x", None, "y"]).dictionary_encode(),
            "e": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["x", None])),
            "none": pa.nulls(3),
            "v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            "v32": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)),
            "v1": [[1.0, 2.0], None, [5.0]],
            "v2": [[1.0, 2.0], [NAN, 1.0], [5.0, 6.0]],
            "tokens": [["x", "y"], [], None],
            "at": pa.array([datetime(2025, 11, 21, 0, 0, n, tzinfo=UTC) for n in range(3)], pa.timestamp("ms", "UTC")),
            "when": [date(2025, 11, 21), None, date(2025, 1, 1)],
            "money": pa.array([Decimal("1.20"), None, Decimal(-3)], pa.decimal128(9, 2)),
            "who": ["a", "b", None],
            "w": [1.0, None, -1.0],
        },
    ),
    "nested": (
        EventOptions(format="flat", label="o.y", include=("o.*", "p*"), exclude=("o.x",)),
        {
            "o": missing(struct(y=[1, 2, 3], z=struct(q=[1.0, 2.0, 3.0]), x=struct(r=[1, 2, 3])), False, True, False),
            "p": struct(t=["a", "b", "c"]),
            "k": [1, 2, 3],
        },
    ),
    "envelope": (
        ENVELOPE,
        {
            "features": missing(struct(a=[1, 2, 3], c=["x", "y", "z"]), False, True, False),
            "label": pa.array([1, 0, None], pa.int8()),
            "id": ["a", "b", "c"],
            "other": [["x"], [], None],
        },
    ),
    "float labels": (
        ENVELOPE,
        {"features": struct(a=[1, 2, 3]), "label": [1.0, NAN, 2.5], "timestamp": [1e9, 2e12, NAN]},
    ),
    "only labels": (ENVELOPE, {"label": [1, 0], "id": ["a", "b"]}),
    "no features": (ENVELOPE, {"features": pa.nulls(2), "label": [1, 0], "id": ["a", None]}),
    "declared": (
        EventOptions(
            format="flat",
            label="y",
            features={"n": Kind.CATEGORY, "c": Kind.NUMBER, "b": Kind.NUMBER, "v": Kind.TOKENS},
        ),
        {"y": [1, 2], "n": [7, 8], "c": ["x", None], "b": [True, None], "v": [[1.0], [2.0]]},
    ),
    "one name twice": (FLAT, {"y": [1, 2], "a.b": [1, 2], "a": struct(b=[3, 4])}),
    "a text that is too long": (FLAT, {"y": [1, 2], "t": ["x" * 70_000, "x"]}),
    "structs in lists": (FLAT, {"y": [1, 2], "l": [[{"a": 1}], []]}),
    "binary": (FLAT, {"y": [1, 2], "l": pa.array([b"ab", b"\xff"])}),
    "a time out of range": (FLAT, {"y": [1], "l": pa.array([2**62], pa.timestamp("s"))}),
    "no rows": (ENVELOPE, {"features": struct(a=pa.array([], pa.int64())), "label": pa.array([], pa.int64())}),
}


def messages(columns: dict[str, Any]) -> list[StoredRecord]:
    """Return a table as a message, twice, and between them one of another schema."""
    value = arrow_stream(pa.table(columns))
    other = arrow_stream(pa.table({"features": struct(n=["x"]), "label": [1], "y": [0.5], "v": [[1.0]]}))
    return [record(each, n, headers=ARROW) for n, each in enumerate((value, value, other, value))]


@pytest.mark.parametrize("case", CASES)
def test_columns_mean_what_rows_mean(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when an event that comes in a column is another one than as JSON."""
    options, columns = CASES[case]
    found = [seen(each) for each in EventDecoder(options, {}).pieces(messages(columns))]
    monkeypatch.setattr(ArrowColumns, "takes", lambda *_: False)
    assert found == [seen(each) for each in EventDecoder(options, {}).pieces(messages(columns))]


@pytest.mark.parametrize("case", ["all kinds", "nested", "envelope", "declared", "only labels"])
def test_usual_streams_are_taken_as_columns(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a usual stream goes row by row, which costs twenty times as much."""
    options, columns = CASES[case]
    monkeypatch.setattr("service.decoding.one_call.Decoding._one", lambda *_, **__: pytest.fail("an event alone"))
    values = {name: column for name, column in columns.items() if name != "w"}
    list(EventDecoder(options, {}).pieces([record(arrow_stream(pa.table(values)), headers=ARROW)]))


def test_reading_begins_within_a_stream() -> None:
    """Fails when a restart within a message learns its first events again."""
    value = arrow_stream(pa.table({"features": struct(a=[1, 2, 3, 4], v=[[1.0]] * 4), "label": [1, 2, 3, 4]}))
    decoded = EventDecoder(ENVELOPE, {0: Position(0, 2)}).decode([record(value, 0, headers=ARROW)])
    assert list(decoded.examples.labels) == [3, 4]
    assert decoded.examples.features.numbers.tolist() == [[3.0, 1.0], [4.0, 1.0]]
    assert decoded.track.next_events.tolist() == [3, 0]


def test_streams_and_json_in_one_poll_keep_their_order() -> None:
    """Fails when columns of one message are put beside rows of another."""
    value = arrow_stream(pa.table({"features": struct(a=[1.0, 2.0], b=[True, None]), "label": [1, 2]}))
    mixed = [record({"features": {"a": "x"}, "label": 0}, 0), record(value, 1, headers=ARROW)]
    mixed += [record({"features": {"a": 3, "b": False}, "label": 3}, 2), record(value, 3, headers=ARROW)]
    decoded = EventDecoder(ENVELOPE, {}).decode(mixed)
    assert list(decoded.examples.labels) == [0, 1, 2, 3, 1, 2]
    assert [key.name for key in decoded.examples.features.keys] == ["a", "b"]
    assert np.nan_to_num(decoded.examples.features.numbers, nan=-1).tolist() == [
        [-1, -1], [1, 1], [2, -1], [3, 0], [1, 1], [2, -1],
    ]  # fmt: skip
    assert decoded.examples.features.categories == {"a": ["x", None, None, None, None, None]}
