"""Arrow streams straight into columns: no event of them ever becomes a Python object.

On the path it is what typed decoding is for JSON. It takes the streams whose rows are sure to mean what they would mean
as JSON (``arrow_events.py``), and leaves all others to that; which way a stream goes depends on the stream alone, never
on what came before it. Numbers go from Arrow's buffers into the matrix, texts become one Python string for each
different one, and only what is neither (times, decimals, lists of unequal lengths) is written down as JSON first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.examples import Kind
from service.decoding.array_columns import ArrayColumn, FeatureColumn
from service.decoding.arrow_events import MAXIMUM_BYTES, UNWRITABLE, ArrowStream, as_json
from service.decoding.arrow_expansion import bytes_of_row
from service.decoding.arrow_leaves import Leaf, leaves_of
from service.decoding.flattening import Selection
from service.decoding.list_columns import MAXIMUM_FEATURES
from service.decoding.record_batch import Origins
from service.decoding.table import PARTS, Column, Table
from service.settings.event_options import EventOptions

_VALUE_BYTES = 64
"""What a value takes as an object of Python's, about."""

_decode = msgspec.json.Decoder().decode


class ArrowColumns:
    """Makes tables of streams that have one schema.

    Parameters
    ----------
    options, selection
        How events are to be read, and which features are wanted.
    """

    def __init__(self, options: EventOptions, selection: Selection) -> None:
        self._options = options
        self._selection = selection
        self._schema: Any = None
        self._has_nulls = False
        self._leaves: Sequence[Leaf] | None = None

    def takes(self, stream: ArrowStream) -> bool:
        """Whether the rows of `stream` may be taken as columns: their names are usual, and they are not too large."""
        leaves = self._leaves_of(stream)
        if leaves is None:
            return False
        # Columns may share bytes; only texts that a dictionary repeats, and nulls, take more than all of them.
        room = len(leaves) * (stream.length + _VALUE_BYTES * stream.rows)
        if stream.has_dictionaries or self._has_nulls or room > MAXIMUM_BYTES:
            room = sum(batch.num_rows * bytes_of_row(stream.pyarrow, batch) for batch in stream.batches)
        return room <= MAXIMUM_BYTES

    def tabulate(self, streams: Sequence[ArrowStream], origins: Origins) -> Table | None:
        """Return the rows of streams of one schema as columns; None where a value cannot be written down.

        Parameters
        ----------
        streams
            Each of which is taken.
        origins
            Of all their rows.
        """
        try:
            return self._tabulate(streams[0].pyarrow, streams, origins)
        except (streams[0].pyarrow.ArrowException, *UNWRITABLE):
            return None

    def _tabulate(self, pa: Any, streams: Sequence[ArrowStream], origins: Origins) -> Table:
        leaves = self._leaves_of(streams[0])
        assert leaves is not None  # noqa: S101 (for the type checker: they were taken)
        whole = pa.Table.from_batches([batch for stream in streams for batch in stream.batches], streams[0].schema)
        reader = _Reader(pa, whole.combine_chunks(), self._options)
        features: dict[str, FeatureColumn] = {}
        parts: dict[str, Column] = dict.fromkeys(PARTS, [None] * len(origins))
        for leaf in leaves if len(origins) else ():
            if leaf.is_part:
                parts[leaf.name] = reader.part(leaf)
            else:
                features[leaf.name] = reader.feature(leaf)
        without = reader.without_features() if self._options.format == "envelope" else np.empty(0, np.intp)
        return Table(origins, features, parts, without)

    def _leaves_of(self, stream: ArrowStream) -> Sequence[Leaf] | None:
        # Most streams of a topic have the schema of the one before.
        if self._schema is None or not self._schema.equals(stream.schema):
            self._leaves = leaves_of(stream.pyarrow, stream.schema, self._options, self._selection)
            self._has_nulls = any(_has_nulls(stream.pyarrow.types, kind) for kind in stream.schema.types)
            self._schema = stream.schema
        return self._leaves


def _has_nulls(types: Any, kind: Any) -> bool:
    """Whether there are values of the type of nothing, which take no bytes of the stream, however many there are."""
    return types.is_null(kind) or any(_has_nulls(types, kind.field(index).type) for index in range(kind.num_fields))


class _Reader:
    """Reads columns off a table without chunks."""

    def __init__(self, pa: Any, table: Any, options: EventOptions) -> None:
        self._types = pa.types
        self._pa = pa
        self._table = table
        self._declared = options.features
        self._columns: dict[tuple[int, ...], Any] = {}

    def without_features(self) -> NDArray[np.intp]:
        """Return the rows of an envelope whose features are missing as a whole."""
        rows = self._table.num_rows
        place = self._table.schema.get_field_index("features")
        if place < 0 or not rows:
            return np.arange(rows, dtype=np.intp)
        column = self._column((place,))
        if not column.null_count:
            return np.empty(0, np.intp)
        return np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))

    def feature(self, leaf: Leaf) -> FeatureColumn:
        """Return the column of a feature."""
        column, types = self._column(leaf.path), self._types
        kind = column.type
        declared = self._declared.get(leaf.name)
        if types.is_boolean(kind) and declared in (None, Kind.BOOLEAN):
            return ArrayColumn(Kind.BOOLEAN, self._numbers(column))
        if (types.is_integer(kind) or types.is_floating(kind)) and declared in (None, Kind.NUMBER):
            return ArrayColumn(Kind.NUMBER, self._numbers(column))
        vectors = self._vectors(column) if types.is_nested(kind) and declared in (None, Kind.VECTOR) else None
        return self._values(column) if vectors is None else ArrayColumn(Kind.VECTOR, vectors)

    def part(self, leaf: Leaf) -> Column:
        """Return the column of one of an event's parts."""
        return self._values(self._column(leaf.path))

    def _column(self, path: tuple[int, ...]) -> Any:
        """Return the array at `path`, missing where one of the structs around it is."""
        found = self._columns.get(path)
        if found is None and len(path) == 1:
            found = self._table.column(path[0]).chunk(0)
            self._columns[path] = found
        elif found is None:
            for place, inner in enumerate(self._column(path[:-1]).flatten()):
                self._columns[(*path[:-1], place)] = inner
            found = self._columns[path]
        return found

    def _numbers(self, column: Any) -> NDArray[np.float64]:
        """Return float64; NaN where a number is missing or none."""
        if self._types.is_boolean(column.type):
            column = column.cast(self._pa.uint8())
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        numbers = values.astype(np.float64, copy=False)
        if self._types.is_floating(column.type):
            infinite = np.isinf(numbers)
            if infinite.any():
                numbers = np.where(infinite, np.nan, numbers)
        return numbers

    def _vectors(self, column: Any) -> NDArray[np.float64] | None:
        """Return float64 of shape (rows, components); None where any is missing, or a vector is longer."""
        inner = column.type.value_type
        if column.null_count or not (self._types.is_integer(inner) or self._types.is_floating(inner)):
            return None
        values = column.flatten()
        length, rest = divmod(len(values), len(column))
        if rest or not 0 < length <= MAXIMUM_FEATURES or values.null_count or not self._are_of(column, length):
            return None
        numbers = self._numbers(values)
        return None if np.isnan(numbers).any() else numbers.reshape(-1, length)

    def _are_of(self, column: Any, length: int) -> bool:
        """Whether all lists have one length."""
        if self._types.is_fixed_size_list(column.type):
            return True
        return bool((np.diff(column.offsets.to_numpy()) == length).all())

    def _values(self, column: Any) -> list[Any]:
        """Return one Python value a row, as JSON has it; None where it is missing."""
        types = self._types
        kind = column.type
        if types.is_null(kind):
            return [None] * len(column)
        if types.is_dictionary(kind):
            return _from_dictionary(column)
        if types.is_string(kind) or types.is_large_string(kind):
            return _from_dictionary(column.dictionary_encode())
        if types.is_floating(kind):
            return ArrayColumn(Kind.NUMBER, self._numbers(column)).as_python()
        if types.is_integer(kind) or types.is_boolean(kind):
            found: list[Any] = (
                column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False).tolist()
            )
            return found
        plain: list[Any] = _decode(as_json(column.to_pylist()))
        return plain


def _from_dictionary(column: Any) -> list[Any]:
    """Return the texts of a column that refers to each of them by a number; equal ones are one object."""
    texts = np.array([*column.dictionary.to_pylist(), None], object)
    places = column.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
    found: list[Any] = texts[places].tolist()
    return found
