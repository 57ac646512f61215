"""Files of rows: what is read from them, and what is said where they are broken."""

import gzip
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StreamFileInvalid
from service.replaying.stream_files import Row, open_stream_file
from service.replaying.stream_values import Inference, infer


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Return a function that writes a file, packed where its name ends in .gz."""

    def write(name: str, content: str | bytes) -> Path:
        raw = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return write


Write = Callable[[str, str | bytes], Path]


def rows(path: Path) -> list[Row]:
    """Return all rows of a file."""
    return list(open_stream_file(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("3", 3), ("-3", -3), ("+3", 3), ("007", 7), ("3.0", 3.0), (".5", 0.5), ("1e-3", 1e-3), (" 4 ", 4),
        ("true", True), ("FALSE", False), ("True", True), ("Oslo", "Oslo"), ("1_000", "1_000"), ("nan", "nan"),
        ("inf", "inf"), ("1e999", "1e999"), ("0x1f", "0x1f"), ("1,5", "1,5"), ("٣", "٣"), ("-", "-"), (".", "."),
        ("9223372036854775807", 2**63 - 1), ("18446744073709551616", 2.0**64), (" ", " "),
    ],
)  # fmt: skip
def test_what_a_cell_means(text: str, value: Any) -> None:
    """A number would be learned as a category, or a name as a number."""
    assert infer(text) == value
    assert type(infer(text)) is type(value)


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_json_writes_is_read_back(number: float) -> None:
    """A value would change on its way through a file."""
    assert infer(json.dumps(number)) == number


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    """A cell would end the replay, or become what JSON cannot carry."""
    value = infer(text)
    assert not isinstance(value, float) or math.isfinite(value)
    assert Inference()[text] == value


def test_csv(write: Write) -> None:
    """The most usual of files would not be read."""
    path = write("a.csv", 'city,price,express,late\nOslo,3.5,true,1\n"Rome, Lazio",,false,0\n')
    assert rows(path) == [
        {"city": "Oslo", "price": 3.5, "express": True, "late": 1},
        {"city": "Rome, Lazio", "price": None, "express": False, "late": 0},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_any_usual_delimiter(write: Write, delimiter: str) -> None:
    """A file from a European spreadsheet would be one column."""
    assert rows(write("a.csv", f"x{delimiter}y\r\n1{delimiter}2\r\n\r\n")) == [{"x": 1, "y": 2}]


def test_csv_of_one_column_and_with_a_mark(write: Write) -> None:
    """The name of the first column would begin with an invisible character."""
    assert rows(write("a.csv.gz", "\ufefftext\nhello\n")) == [{"text": "hello"}]


def test_a_cell_may_hold_lines_and_be_long(write: Write) -> None:
    """A stream of documents could not be replayed."""
    text = "two\nlines " * 30_000
    assert rows(write("a.csv", f'text,label\n"{text}",1\n')) == [{"text": text, "label": 1}]


def test_ndjson(write: Write) -> None:
    """Events that are JSON already could not be replayed."""
    path = write("a.ndjson.gz", '{"x": 1, "deep": {"y": [1, 2]}}\n\n{"x": null}\n')
    assert rows(path) == [{"x": 1, "deep": {"y": [1, 2]}}, {"x": None}]


def test_parquet(tmp_path: Path) -> None:
    """A table of a data lake could not be replayed, or its times and decimals would fail to become JSON."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "x": [1, None],
            "f": [0.5, math.nan],
            "d": [Decimal("1.25"), None],
            "t": [moment, None],
            "w": [timedelta(seconds=90), None],
            "v": [[1.0, 2.0], None],
            "s": [{"a": "b"}, None],
        }
    )
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    file = open_stream_file(path)
    assert file.columns == ["x", "f", "d", "t", "w", "v", "s"]
    first, second = list(file)
    assert first == {
        "x": 1, "f": 0.5, "d": 1.25, "t": "2026-01-02T03:04:05+00:00", "w": 90.0, "v": [1.0, 2.0], "s": {"a": "b"},
    }  # fmt: skip
    assert set(second.values()) == {None}
    assert file.fraction() == 1.0


def test_parquet_without_pyarrow(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks the extra would get a traceback in place of its name."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StreamFileInvalid, match=r"headrace\[parquet\]"):
        open_stream_file(write("a.parquet", "x"))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "x,x\n1,2\n", "name 'x' twice"),
        ("a.csv", "x,,y\n1,2,3\n", "without a name"),
        ("a.csv", "x,y\n1,2\n1,2,3\n", "line 3 has 3 values, but the header has 2"),
        ("a.csv", "x,y\n1,2\n1\n", "line 3 has 1 values"),
        ("a.csv", b"x,y\n\xff,2\n", "not UTF-8"),
        ("a.csv", b"\xff\n", "not UTF-8"),
        ("a.ndjson", '{"x": 1}\n{"x": \n', "line 2 is no JSON object"),
        ("a.ndjson", "[1]\n", "line 1 is no JSON object"),
        ("a.ndjson", b'{"x": "\xff"}\n', "line 1"),
        ("a.parquet", "nonsense", "cannot be read as Parquet"),
        ("a.xlsx", "", "no kind that is known"),
        ("data", "", "no kind that is known"),
    ],
)
def test_a_broken_file_is_told_with_its_place(write: Write, name: str, content: str | bytes, problem: str) -> None:
    """The user would get a traceback, or events that make no sense."""
    path = write(name, content)
    with pytest.raises(StreamFileInvalid, match=problem) as caught:
        rows(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [5, -4])
def test_a_packed_file_that_is_cut_off_is_told(write: Write, cut: int) -> None:
    """A download that broke off would look like the end of the stream, or bring a traceback."""
    path = write("a.csv.gz", "x,y\n" + "1,2\n" * 1000)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StreamFileInvalid, match="gzip"):
        rows(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A typo would bring a traceback."""
    with pytest.raises(StreamFileInvalid, match="no such file"):
        open_stream_file(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson"])
def test_it_is_known_how_far_a_file_is_read(write: Write, name: str) -> None:
    """Nobody could tell how long a replay will take."""
    line = '{"x": 1}\n' if "json" in name else "1\n"
    file = open_stream_file(write(name, ("" if "json" in name else "x\n") + line * 50_000))
    assert file.fraction() <= 0.01
    seen = [file.fraction() for _ in file]
    assert seen == sorted(seen)
    assert file.fraction() == 1.0
