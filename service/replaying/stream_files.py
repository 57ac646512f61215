"""Labelled streams in files: CSV, NDJSON and Parquet, compressed by gzip or not, as rows in the order of the file.

They stand before the path: ``replay`` and ``demo`` send their rows as events. A file is read while it is iterated over,
so its size does not matter.
"""

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from service.errors import StreamFileInvalid
from service.replaying.stream_values import Inference

Row = Mapping[str, Any]
"""Name → value; a missing value may be None or absent."""

_LONGEST_CELL = 16 * 1024 * 1024
"""Characters; the csv module's own limit of 131,072 is short for a document."""


class StreamFile(Protocol):
    """A file of rows, to be iterated over once.

    Attributes
    ----------
    name
        For messages.
    columns
        Names of the columns; None where only the rows tell.
    """

    name: str
    columns: Sequence[str] | None

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; raises StreamFileInvalid, naming the line, where the file is broken."""

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0 to 1."""


def open_stream_file(path: Path) -> StreamFile:
    """Return the rows of the file at `path`; its name says what it is.

    Raises
    ------
    StreamFileInvalid
        There is no such file, or it is none of the kinds that are known.
    """
    if not path.is_file():
        raise StreamFileInvalid(f"{path}: there is no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"]
    kind = suffixes[-2 if compressed else -1] if len(suffixes) > compressed else ""
    if kind in (".csv", ".tsv", ".txt"):
        return CsvFile(path, compressed)
    if kind in (".ndjson", ".jsonl", ".json"):
        return NdjsonFile(path, compressed)
    if kind in (".parquet", ".pq") and not compressed:
        from service.replaying.parquet_files import ParquetFile  # noqa: PLC0415  # pyarrow is an extra

        return ParquetFile(path)
    raise StreamFileInvalid(
        f"{path}: is of no kind that is known; name it .csv, .ndjson (both also with .gz) or .parquet"
    )


class _ByteFile:
    """A file, unpacked while it is read."""

    def __init__(self, path: Path, compressed: bool) -> None:
        self.name = str(path)
        self._path = path
        self._compressed = compressed
        self._raw: BinaryIO | None = None
        self._size = max(1, path.stat().st_size)

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0 to 1."""
        if self._raw is None:
            return 0.0
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._size)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Yield the unpacked bytes; faults of the packing are told as such."""
        try:
            with self._path.open("rb") as raw:
                self._raw = raw
                # Both are read like binary files; typeshed knows no common type for them.
                yield gzip.GzipFile(fileobj=raw) if self._compressed else raw  # type: ignore[misc]  # no common type: see above
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise StreamFileInvalid(f"{self.name}: cannot be unpacked as gzip: {error}") from None


class CsvFile(_ByteFile):
    """A table with a header; the delimiter is whichever of comma, semicolon, tab and bar its header has most of.

    Each cell is taken for what its text says (see :mod:`service.replaying.stream_values`).
    """

    def __init__(self, path: Path, compressed: bool) -> None:
        super().__init__(path, compressed)
        with self._text() as text:
            header = text.readline()
        self._raw = None
        self._delimiter = max(",;\t|", key=header.count)
        self.columns: Sequence[str] | None = self._names(next(csv.reader([header], delimiter=self._delimiter), []))

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        csv.field_size_limit(_LONGEST_CELL)
        values, width = Inference(), len(self.columns or ())
        with self._text() as text:
            reader = csv.reader(text, delimiter=self._delimiter)
            next(reader)
            try:
                for cells in reader:
                    if len(cells) == width:
                        yield dict(zip(self.columns or (), map(values.__getitem__, cells), strict=True))
                    elif cells:
                        self._refuse(reader.line_num, f"has {len(cells)} values, but the header has {width}")
            except csv.Error as error:
                self._refuse(reader.line_num, f"is no CSV: {error}")

    @contextlib.contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        with self._opened() as content:
            try:
                yield io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            except UnicodeDecodeError as error:
                raise StreamFileInvalid(f"{self.name}: is not UTF-8 text: {error.reason}") from None

    def _names(self, header: Sequence[str]) -> Sequence[str]:
        names = [name.strip() for name in header]
        if not names:
            raise StreamFileInvalid(f"{self.name}: is empty; its first line must name the columns")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or "" in names:
            wrong = f"name {twice[0]!r} twice" if twice and twice[0] else "leave a column without a name"
            raise StreamFileInvalid(f"{self.name}: the header must not {wrong}")
        return names

    def _refuse(self, line: int, problem: str) -> None:
        raise StreamFileInvalid(f"{self.name}: line {line} {problem}")


class NdjsonFile(_ByteFile):
    """A JSON object a line; lines that are blank are passed over."""

    columns: Sequence[str] | None = None

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        with self._opened() as content:
            for number, line in enumerate(content, start=1):
                if not line.isspace():
                    try:
                        yield decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        raise StreamFileInvalid(f"{self.name}: line {number} is no JSON object: {error}") from None
