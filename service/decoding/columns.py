"""Columns of Python values become Features: column by column, never value by value where it can be helped.

On the path it stands between decoding and the learner, for events and for prediction requests alike. What a value is
(number, category, tokens, …) is seen from its Python type; a column that holds several kinds becomes several columns.
Columns come out sorted by name, and columns without any value are left out, so that the same rows give the same
Features however they were decoded.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np

from models.examples import Features, Kind
from service.decoding.array_columns import FeatureColumn
from service.decoding.assembly import Assembly, Problem
from service.decoding.extent import NamesLength, check_cells
from service.decoding.flattening import FeatureInvalid, Selection, flatten
from service.settings.event_options import EventOptions

_UNDECLARED: Mapping[str, Kind] = MappingProxyType({})


def features_from_rows(rows: Sequence[Mapping[str, Any]], options: EventOptions | None = None) -> Features:
    """Return the features of some decoded JSON objects.

    Parameters
    ----------
    rows
        For each row, name → value as JSON has them; nested objects become dotted names.
    options
        Which names are wanted and which kinds are declared; without, anything goes.

    Raises
    ------
    FeatureInvalid
        For the first row that cannot be used; :class:`~service.decoding.extent.TooWide` where there are too many.
    """
    selection = Selection(options.include, options.exclude) if options else Selection()
    flat: list[Mapping[str, Any]] = []
    names = NamesLength()
    for index, row in enumerate(rows):
        try:
            flat.append(flatten(row, selection))
        except FeatureInvalid as invalid:
            raise FeatureInvalid(index, invalid.field, invalid.message) from None
        names.add(flat[-1], row)
    features, problems = assemble(len(flat), gather(flat), options.features if options else _UNDECLARED)
    if problems:
        raise FeatureInvalid(*min(problems))
    return features


def gather(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn mappings into columns; None where a row lacks a name.

    Raises
    ------
    TooWide
        Too many rows have too many different names.
    """
    names = dict.fromkeys(chain.from_iterable(rows))
    values = sum(map(len, rows))
    check_cells(len(rows), len(names), values)
    if len(names) * len(rows) <= 2 * values:
        return {name: [row.get(name) for row in rows] for name in names}
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in names}
    for index, row in enumerate(rows):
        for name, value in row.items():
            columns[name][index] = value
    return columns


def assemble(
    rows: int, columns: Mapping[str, FeatureColumn], declared: Mapping[str, Kind] = _UNDECLARED
) -> tuple[Features, list[Problem]]:
    """Return the features that `columns` hold, and the values that are none (they are missing in the features).

    Parameters
    ----------
    rows
        Length of every column.
    columns
        Dotted name → one value a row, as JSON has them; None is missing. Or arrays of them.
    declared
        Name → the only kind that is accepted.

    Raises
    ------
    TooWide
        Vectors would make too many columns for so many rows.
    """
    assembly = Assembly(rows)
    for name in sorted(columns):
        assembly.add(name, columns[name], declared.get(name))
    return assembly.features(), assembly.problems


def compact(features: Features) -> Features:
    """Leave out the columns that hold no value."""
    full = np.flatnonzero(~np.isnan(features.numbers).all(axis=0))
    return Features(
        features.rows,
        tuple(features.keys[column] for column in full.tolist()),
        features.numbers if len(full) == len(features.keys) else features.numbers[:, full],
        {name: column for name, column in features.categories.items() if any(v is not None for v in column)},
        {name: column for name, column in features.tokens.items() if any(v is not None for v in column)},
    )
