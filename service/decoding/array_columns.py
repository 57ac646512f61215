"""Columns that never were Python objects: numbers, booleans and vectors as arrays, from formats that hold columns.

On the path they stand in a :class:`~service.decoding.table.Table` beside the columns of Python values, and mean the
same: whoever cannot take them asks for their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.examples import Kind


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """One value a row, or one vector a row.

    Attributes
    ----------
    kind
        Number, boolean or vector.
    values
        float64, shape (rows,), NaN where it is missing; or (rows, components) of vectors, none of them missing. Never
        infinite. Booleans are 0 and 1.
    """

    kind: Kind
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.intp]) -> "ArrayColumn":
        """Return the rows that an array of indices names, in its order."""
        return ArrayColumn(self.kind, self.values[rows])

    def is_missing(self) -> bool:
        """Whether no row has a value."""
        return bool(np.isnan(self.values).all())

    def as_python(self) -> list[Any]:
        """Return the values as JSON would have them; None where one is missing."""
        values: list[Any] = (self.values != 0 if self.kind is Kind.BOOLEAN else self.values).tolist()
        if self.kind is Kind.VECTOR:
            return values
        missing = np.isnan(self.values).tolist()
        return [None if absent else value for absent, value in zip(missing, values, strict=True)]


FeatureColumn = Sequence[Any] | ArrayColumn
"""One value a row, as JSON has them and None where one is missing, or an array."""


def python_values(column: FeatureColumn) -> Sequence[Any]:
    """Return one Python value a row; None where it is missing."""
    return column.as_python() if isinstance(column, ArrayColumn) else column


def take_rows(column: FeatureColumn, rows: NDArray[np.intp], picked: Sequence[int]) -> FeatureColumn:
    """Return some rows of a column.

    Parameters
    ----------
    rows, picked
        The same indices twice: as an array, and as integers.
    """
    return column.take(rows) if isinstance(column, ArrayColumn) else [column[row] for row in picked]


def spread(column: FeatureColumn, rows: Sequence[int], count: int) -> FeatureColumn:
    """Return a column of `count` rows, missing but where `rows` says that those of `column` are.

    Parameters
    ----------
    column
        No vectors, for none of these is ever missing.
    rows
        Ascending; as many as `column` has.
    count
        Of all rows.
    """
    if isinstance(column, ArrayColumn):
        values = np.full(count, np.nan)
        values[rows] = column.values
        return ArrayColumn(column.kind, values)
    found: list[Any] = [None] * count
    for row, value in zip(rows, column, strict=True):
        found[row] = value
    return found
