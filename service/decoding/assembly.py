"""Features in the making: a column of Python values at a time, each judged by the types that it holds."""

from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.examples import FeatureKey, Features, Kind
from service.decoding.array_columns import ArrayColumn, FeatureColumn, python_values
from service.decoding.extent import check_cells
from service.decoding.list_columns import MAXIMUM_FEATURES, MAXIMUM_TEXT, split_lists, stack_vectors

MAXIMUM_NAME = 1_000
"""Characters of a feature's name."""

_NUMBERS = frozenset({int, float})
_KINDS: tuple[tuple[frozenset[type], str], ...] = (
    (_NUMBERS, "_add_numbers"),
    (frozenset({bool}), "_add_booleans"),
    (frozenset({str}), "_add_categories"),
    (frozenset({list}), "_add_lists"),
)
_TYPES_OF = {
    Kind.NUMBER: _NUMBERS,
    Kind.BOOLEAN: frozenset({bool}),
    Kind.CATEGORY: frozenset({str}),
    Kind.VECTOR: frozenset({list}),
    Kind.TOKENS: frozenset({list}),
}


class Problem(NamedTuple):
    """A value that is no usable feature."""

    row: int
    name: str
    message: str


class Assembly:
    """Features in the making."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.problems: list[Problem] = []
        self._keys: list[FeatureKey] = []
        self._scalars: dict[int, Sequence[float | None]] = {}
        self._arrays: dict[int, NDArray[np.float64]] = {}
        self._vectors: dict[int, NDArray[np.float64]] = {}
        self._categories: dict[str, Sequence[str | None]] = {}
        self._tokens: dict[str, Sequence[Sequence[str] | None]] = {}
        self._expected: Kind | None = None

    def add(self, name: str, values: FeatureColumn, declared: Kind | None) -> None:
        """Add a column; the kind of one of Python values is seen from these."""
        if isinstance(values, ArrayColumn) and declared in (None, values.kind) and len(name) <= MAXIMUM_NAME:
            self._add_array(name, values)
        else:
            self._add_values(name, python_values(values), declared)

    def _add_values(self, name: str, values: Sequence[Any], declared: Kind | None) -> None:
        types = set(map(type, values))
        types.discard(NoneType)
        if not types:
            return
        if len(name) > MAXIMUM_NAME:
            self._refuse(name, values, f"its name has more than {MAXIMUM_NAME} characters")
            return
        self._expected = declared
        if declared is not None and not types <= _TYPES_OF[declared]:
            values, types = self._enforce(name, values, declared)
        self._add_by_type(name, values, types)

    def features(self) -> Features:
        """Return the columns added so far; what is no usable number is missing."""
        numbers = np.empty((self.rows, len(self._keys)))
        if self._scalars:
            numbers[:, list(self._scalars)] = _as_matrix(list(self._scalars.values())).T
        for column, array in self._arrays.items():
            numbers[:, column] = array
        for start, block in self._vectors.items():
            numbers[:, start : start + block.shape[1]] = block
        infinite = np.isinf(numbers)
        if infinite.any():
            where = np.argwhere(infinite).tolist()
            self.problems += [Problem(row, self._keys[column].name, "too large a number") for row, column in where]
            numbers[infinite] = np.nan
        features = Features(self.rows, tuple(self._keys), numbers, self._categories, self._tokens)
        self.problems += crowded(features)
        return features

    def _add_array(self, name: str, column: ArrayColumn) -> None:
        if column.is_missing():
            return
        if column.kind is Kind.VECTOR:
            self._add_vectors(name, column.values)
        else:
            self._arrays[len(self._keys)] = column.values
            self._keys.append(FeatureKey(name, column.kind))

    def _add_by_type(self, name: str, values: Sequence[Any], types: set[type]) -> None:
        for accepted, method in _KINDS:
            found = types & accepted
            if found == types:
                getattr(self, method)(name, values)
                return
            if found:
                getattr(self, method)(name, [v if type(v) in accepted else None for v in values])
        unknown = types.difference(*(accepted for accepted, _ in _KINDS))
        if unknown:
            part = [v if type(v) in unknown else None for v in values]
            self._refuse(name, part, "not a number, boolean, text, or list of numbers or texts")

    def _enforce(self, name: str, values: Sequence[Any], declared: Kind) -> tuple[Sequence[Any], set[type]]:
        """Refuse values of another kind than the declared one; an integer serves as a category."""
        if declared is Kind.CATEGORY:
            values = [str(v) if type(v) is int else v for v in values]
        accepted = _TYPES_OF[declared]
        others = [v if type(v) not in accepted else None for v in values]
        self._refuse(name, others, f"declared as {declared}, but it is something else")
        values = [v if type(v) in accepted else None for v in values]
        return values, set(map(type, values)) - {NoneType}

    def _refuse(self, name: str, values: Sequence[Any], message: str) -> None:
        """Note a problem for each row that has a value."""
        self.problems += [Problem(row, name, message) for row, v in enumerate(values) if v is not None]

    def _add_numbers(self, name: str, values: Sequence[float | None]) -> None:
        self._scalars[len(self._keys)] = values
        self._keys.append(FeatureKey(name, Kind.NUMBER))

    def _add_booleans(self, name: str, values: Sequence[bool | None]) -> None:
        self._scalars[len(self._keys)] = values
        self._keys.append(FeatureKey(name, Kind.BOOLEAN))

    def _add_categories(self, name: str, values: Sequence[str | None]) -> None:
        if max(map(len, filter(None, values)), default=0) > MAXIMUM_TEXT:
            long = [v if v is not None and len(v) > MAXIMUM_TEXT else None for v in values]
            self._refuse(name, long, f"text of more than {MAXIMUM_TEXT} characters")
            values = [v if v is None or len(v) <= MAXIMUM_TEXT else None for v in values]
        self._categories[name] = values

    def _add_lists(self, name: str, values: Sequence[list[Any] | None]) -> None:
        vectors, tokens, problems = split_lists(values, self._expected)
        self.problems += [Problem(row, name, message) for row, message in problems]
        if vectors is not None:
            lengths = [len(vector or ()) for vector in vectors]
            check_cells(self.rows, len(self._keys) + max(lengths), self.rows * len(self._keys) + sum(lengths))
            self._add_vectors(name, stack_vectors(vectors))
        if tokens is not None:
            self._tokens[name] = tokens

    def _add_vectors(self, name: str, block: NDArray[np.float64]) -> None:
        self._vectors[len(self._keys)] = block
        self._keys += [FeatureKey(f"{name}[{i}]", Kind.VECTOR) for i in range(block.shape[1])]


def _as_matrix(columns: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    """Return float64 of shape (columns, rows); NaN for None, infinite for integers beyond all floats."""
    try:
        return np.array(columns, np.float64)
    except OverflowError:
        return np.array([[_as_float(value) for value in column] for column in columns])


def _as_float(value: float | None) -> float:
    """Return a float; infinite where an integer is beyond all floats."""
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.inf


def crowded(features: Features) -> list[Problem]:
    """Return the rows that have more features than an event may have."""
    longest = sum(max(map(len, filter(None, column)), default=0) for column in features.tokens.values())
    if len(features.keys) + len(features.categories) + longest <= MAXIMUM_FEATURES:
        return []
    counts = (~np.isnan(features.numbers)).sum(axis=1)
    for texts in features.categories.values():
        counts += [text is not None for text in texts]
    for bags in features.tokens.values():
        counts += [len(bag or ()) for bag in bags]
    message = f"the event has more than {MAXIMUM_FEATURES} features"
    return [Problem(int(row), "", message) for row in np.flatnonzero(counts > MAXIMUM_FEATURES)]
