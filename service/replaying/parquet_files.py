"""Labelled streams in Parquet files; needs pyarrow, which is an extra."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any

from service.errors import StreamFileInvalid
from service.replaying.stream_files import Row

_ROWS_AT_ONCE = 4096


def _finite(value: float | Decimal) -> float | None:
    return float(value) if isfinite(value) else None


_CONVERSIONS: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((NoneType, bool, int, str), lambda value: value),
    ((float, Decimal), _finite),
    ((date, time), lambda value: value.isoformat()),
    ((timedelta,), lambda value: value.total_seconds()),
)
"""Types of cells → how they become JSON; a datetime is a date."""


class ParquetFile:
    """The rows of a Parquet file, read a few thousand at a time.

    Decimals become numbers, dates and times ISO 8601 text, durations seconds; numbers that JSON cannot carry are
    missing.

    Raises
    ------
    StreamFileInvalid
        pyarrow is not installed, the file is no Parquet, or a column holds what an event cannot carry.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415  # an extra
            from pyarrow.parquet import ParquetFile as Reader  # noqa: PLC0415  # as above
        except ImportError:
            raise StreamFileInvalid(
                f"{path}: reading Parquet needs pyarrow: install headrace[parquet], or save the table as CSV"
            ) from None
        self.name = str(path)
        self._error = pa.ArrowException
        try:
            self._file = Reader(path)
        except (self._error, OSError) as error:
            raise self._unreadable(error) from None
        self.columns: Sequence[str] | None = list(self._file.schema_arrow.names)
        self._rows: int = max(1, self._file.metadata.num_rows)
        self._read = 0

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        try:
            for batch in self._file.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    self._read += 1
                    yield {name: self._plain(name, value) for name, value in row.items()}
        except (self._error, OSError) as error:
            raise self._unreadable(error) from None

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0 to 1."""
        return min(1.0, self._read / self._rows)

    def _plain(self, name: str, value: Any) -> Any:
        """Return `value` as JSON can carry it."""
        if isinstance(value, list):
            return [self._plain(name, element) for element in value]
        if isinstance(value, dict):
            return {key: self._plain(name, element) for key, element in value.items()}
        for kinds, convert in _CONVERSIONS:
            if isinstance(value, kinds):
                return convert(value)
        raise StreamFileInvalid(
            f"{self.name}: column {name!r} holds {type(value).__name__}, which an event cannot carry; leave it out"
        )

    def _unreadable(self, error: Exception) -> StreamFileInvalid:
        return StreamFileInvalid(f"{self.name}: cannot be read as Parquet: {' '.join(str(error).split())}")
