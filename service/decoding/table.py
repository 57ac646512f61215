"""Decoded events as columns of Python values, before anybody judged them: where the two decoding paths meet.

Whether events were decoded many at once or one by one, they come here in the same shape; all checks are made on this
shape (``examination.py``), so that an event is judged the same however it was decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.decoding.array_columns import FeatureColumn, python_values, take_rows
from service.decoding.extent import check_cells
from service.decoding.record_batch import Origins

PARTS = ("label", "id", "timestamp", "weight", "prediction")
"""What an event may have beside its features."""

Column = Sequence[Any]
"""One value a row, as JSON has them; None where it is missing."""


@dataclass(frozen=True, slots=True)
class Table:
    """Events in columns.

    Attributes
    ----------
    origins
        Which event of which record each row is.
    features
        Dotted name → column.
    parts
        Column of each of :data:`PARTS`.
    without_features
        Rows whose envelope holds no features at all, ascending; always empty for flat events.
    """

    origins: Origins
    features: Mapping[str, FeatureColumn]
    parts: dict[str, Column]
    without_features: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.origins)

    def take(self, rows: NDArray[np.intp]) -> "Table":
        """Return the rows that an array of indices names, in its order."""
        picked = rows.tolist()
        absent = np.zeros(len(self), np.bool_)
        absent[self.without_features] = True
        return Table(
            self.origins.take(rows),
            {name: take_rows(column, rows, picked) for name, column in self.features.items()},
            {name: [column[row] for row in picked] for name, column in self.parts.items()},
            np.flatnonzero(absent[rows]),
        )


def in_order(tables: Sequence[Table]) -> Table:
    """Join tables and put their rows into the order of the log.

    Raises
    ------
    TooWide
        They have too little in common.
    """
    if len(tables) == 1:
        return tables[0]
    joined = _join(tables)
    order = np.lexsort((joined.origins.events, joined.origins.records))
    return joined.take(order)


def _join(tables: Sequence[Table]) -> Table:
    names = dict.fromkeys(chain.from_iterable(table.features for table in tables))
    check_cells(sum(map(len, tables)), len(names), sum(len(table) * len(table.features) for table in tables))
    starts = np.cumsum([0, *(len(table) for table in tables)])
    return Table(
        Origins(
            np.concatenate([table.origins.records for table in tables]),
            np.concatenate([table.origins.events for table in tables]),
        ),
        {name: _column(tables, name) for name in names},
        {part: list(chain.from_iterable(table.parts[part] for table in tables)) for part in PARTS},
        np.concatenate([table.without_features + start for table, start in zip(tables, starts, strict=False)]),
    )


def _column(tables: Sequence[Table], name: str) -> list[Any]:
    missing: list[Column] = [[None] * len(table) for table in tables]
    found = [table.features.get(name, none) for table, none in zip(tables, missing, strict=True)]
    return list(chain.from_iterable(map(python_values, found)))
