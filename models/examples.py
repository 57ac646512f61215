"""Examples as columns: what the service hands to a learner and to a predictor.

A feature is identified by its name and its kind, so that one name may carry a number in one event and a category in
the next. Numbers, booleans and the components of vectors are columns of one matrix; categories are columns of strings;
tokens are columns of lists of strings. Columns may come and go from one chunk to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.answered import Answered, join_answered
from models.taught import Taught

Value = TypeVar("Value")

MOST_CELLS = 1 << 23
"""Rows × columns that pieces which have little in common may make when they are joined: 64 MiB as a matrix."""

SPARSEST = 4
"""Places of a larger whole for each that its pieces have."""

Label = str | int | float | bool
"""A class (string, integer or boolean; an integral float has become an integer) or, for regression, a float."""


class Task(StrEnum):
    """What is predicted. Binary knows at most two classes; multiclass meets new ones at any time."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Kind(StrEnum):
    """Kind of a feature; with the name, its identity. A vector's components are named ``name[0]`` and so on."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    VECTOR = "vector"
    CATEGORY = "category"
    TOKENS = "tokens"


class FeatureKey(NamedTuple):
    """Identity of a feature."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some rows, as columns.

    Attributes
    ----------
    rows
        How many rows; needed because there may be no column at all.
    keys
        Identities of the columns of `numbers` (kinds number, boolean and vector), in order, without repetition.
    numbers
        float64, shape (rows, len(keys)); NaN is missing; never infinite. Booleans are 0 and 1.
    categories
        Name → one string a row, or None where missing.
    tokens
        Name → one sequence of strings a row, or None where missing.
    """

    rows: int
    keys: tuple[FeatureKey, ...]
    numbers: NDArray[np.float64]
    categories: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    tokens: Mapping[str, Sequence[Sequence[str] | None]] = field(default_factory=dict)

    @classmethod
    def empty(cls, rows: int = 0) -> Self:
        """Return `rows` rows without any column."""
        return cls(rows, (), np.empty((rows, 0)))

    def __len__(self) -> int:
        return self.rows

    def slice(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop`; the matrix is a view."""
        return type(self)(
            len(range(*slice(start, stop).indices(self.rows))),
            self.keys,
            self.numbers[start:stop],
            {name: column[start:stop] for name, column in self.categories.items()},
            {name: column[start:stop] for name, column in self.tokens.items()},
        )

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the rows that an array of indices names, in its order."""
        picked = rows.tolist()
        return type(self)(
            len(picked),
            self.keys,
            self.numbers[rows],
            {name: [column[row] for row in picked] for name, column in self.categories.items()},
            {name: [column[row] for row in picked] for name, column in self.tokens.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join rows in order; a column that a part lacks is missing there."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            sum(part.rows for part in parts),
            *_join_numbers(parts),
            _join_columns([(part.rows, part.categories) for part in parts]),
            _join_columns([(part.rows, part.tokens) for part in parts]),
        )


def _join_numbers(parts: Sequence[Features]) -> tuple[tuple[FeatureKey, ...], NDArray[np.float64]]:
    """Return the union of the parts' keys, in order of appearance, and the joined matrix."""
    if not parts:
        return (), np.empty((0, 0))
    if all(part.keys == parts[0].keys for part in parts):
        return parts[0].keys, np.concatenate([part.numbers for part in parts])
    keys = tuple(dict.fromkeys(key for part in parts for key in part.keys))
    column_of = {key: column for column, key in enumerate(keys)}
    joined = np.full((sum(part.rows for part in parts), len(keys)), np.nan)
    row = 0
    for part in parts:
        joined[row : row + part.rows, [column_of[key] for key in part.keys]] = part.numbers
        row += part.rows
    return keys, joined


def _join_columns(parts: Sequence[tuple[int, Mapping[str, Sequence[Value | None]]]]) -> dict[str, list[Value | None]]:
    """Join columns of Python objects name by name; absent ones become runs of None."""
    names = dict.fromkeys(name for _, columns in parts for name in columns)
    joined: dict[str, list[Value | None]] = {name: [] for name in names}
    for rows, columns in parts:
        for name, values in joined.items():
            values.extend(columns[name] if name in columns else [None] * rows)
    return joined


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows with their labels, in the order of the log.

    Attributes
    ----------
    features
        Their features.
    labels
        One canonical label a row (see :data:`Label`); floats only for regression. None where there is none.
    weights
        float32, shape (rows,); at least 0.
    timestamps
        float64, shape (rows,); event time in seconds since the epoch, NaN where the event named none.
    ids
        uint64, shape (rows, 2); digests of what the events are called, zeros where one has no name. None where nobody
        asks for them.
    sources
        uint64, shape (rows,); digests of who the events come from, 0 where one does not say. None where nobody asks.
    labelled
        bool, shape (rows,); which have a label. None: all. Before the label join others are among them, and after it
        only where a model has a teacher.
    taught
        What the teacher says of them; it is asked for a whole microbatch, and does not outlast joining.
    answered
        What was answered about them when they were asked. None: nothing, about any of them.
    featured
        bool, shape (rows,); which have features. None: all. The others are labels of what was observed at another time,
        and have an id; the label join leaves none of them. So a row is an example, an observation, or a label.
    checksums
        uint64, shape (rows,); what each row's event adds to the checksum of what was learned, where the rows are no
        longer those that came in one microbatch. None: they are. It does not outlast joining.
    """

    features: Features
    labels: Sequence[Label]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.float64]
    ids: NDArray[np.uint64] | None = None
    sources: NDArray[np.uint64] | None = None
    labelled: NDArray[np.bool_] | None = None
    taught: Taught | None = None
    answered: Answered | None = None
    featured: NDArray[np.bool_] | None = None
    checksums: NDArray[np.uint64] | None = None

    @classmethod
    def empty(cls) -> Self:
        """Return no rows."""
        return cls(Features.empty(), [], np.empty(0, np.float32), np.empty(0))

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, rows: int) -> tuple[Self, Self]:
        """Return the first `rows` rows and the rest."""
        return self.slice(0, rows), self.slice(rows, len(self))

    def slice(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop`."""
        return type(self)(
            self.features.slice(start, stop),
            self.labels[start:stop],
            self.weights[start:stop],
            self.timestamps[start:stop],
            None if self.ids is None else self.ids[start:stop],
            None if self.sources is None else self.sources[start:stop],
            None if self.labelled is None else self.labelled[start:stop],
            None if self.taught is None else self.taught.take(slice(start, stop)),
            None if self.answered is None else self.answered.take(slice(start, stop)),
            None if self.featured is None else self.featured[start:stop],
            None if self.checksums is None else self.checksums[start:stop],
        )

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the rows that an array of indices names, in its order."""
        return type(self)(
            self.features.take(rows),
            [self.labels[row] for row in rows.tolist()],
            self.weights[rows],
            self.timestamps[rows],
            None if self.ids is None else self.ids[rows],
            None if self.sources is None else self.sources[rows],
            None if self.labelled is None else self.labelled[rows],
            None if self.taught is None else self.taught.take(rows),
            None if self.answered is None else self.answered.take(rows),
            None if self.featured is None else self.featured[rows],
            None if self.checksums is None else self.checksums[rows],
        )

    def known(self) -> Self:
        """Return the rows that have a label, without what a teacher says of them."""
        if self.labelled is None:
            return self if self.taught is None else replace(self, taught=None)
        found = replace(self, taught=None)
        if not self.labelled.all():
            found = found.take(np.flatnonzero(self.labelled))
        return replace(found, labelled=None)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join rows in order."""
        if not parts:
            return cls.empty()
        if len(parts) == 1:
            return parts[0]
        return cls(
            Features.concatenate([part.features for part in parts]),
            [label for part in parts for label in part.labels],
            np.concatenate([part.weights for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            _join_optional([part.ids for part in parts], [len(part) for part in parts]),
            _join_optional([part.sources for part in parts], [len(part) for part in parts]),
            _join_marks([part.labelled for part in parts], [len(part) for part in parts]),
            answered=join_answered([part.answered for part in parts], [len(part) for part in parts]),
            featured=_join_marks([part.featured for part in parts], [len(part) for part in parts]),
        )


def _join_optional(columns: Sequence[NDArray[np.uint64] | None], rows: Sequence[int]) -> NDArray[np.uint64] | None:
    """Join columns that a part may lack: zeros there; None where all do."""
    shape = next((column.shape[1:] for column in columns if column is not None), None)
    if shape is None:
        return None
    filled = [
        np.zeros((count, *shape), np.uint64) if column is None else column
        for column, count in zip(columns, rows, strict=True)
    ]
    return np.concatenate(filled)


def _join_marks(marks: Sequence[NDArray[np.bool_] | None], rows: Sequence[int]) -> NDArray[np.bool_] | None:
    """Join marks, of which None says that all rows have them."""
    if all(each is None for each in marks):
        return None
    return np.concatenate(
        [np.ones(count, np.bool_) if each is None else each for each, count in zip(marks, rows, strict=True)]
    )


class Columns(Protocol):
    """Of rows, what takes room where they are joined."""

    @property
    def features(self) -> Features:
        """Of the rows."""

    @property
    def answered(self) -> Answered | None:
        """About the rows."""


class Joint:
    """How much room some rows take once they are joined, told piece by piece before they are.

    Pieces that name other features each make a matrix that is far larger than all of them, and nearly empty.
    """

    def __init__(self) -> None:
        self._rows = self._filled = 0
        self._columns: set[tuple[str, str]] = set()
        self._keys: tuple[FeatureKey, ...] = ()

    def takes(self, part: Columns, rows: int) -> bool:
        """Take so many rows of a piece in, if the whole stays small enough; the first piece always is."""
        features, columns = part.features, self._columns
        strings: list[tuple[str, str]] = [(name, Kind.CATEGORY) for name in features.categories]
        strings += [(name, Kind.TOKENS) for name in features.tokens]
        strings += [] if part.answered is None else [(name, "answered") for name in part.answered.classes]
        same = features.keys == self._keys and columns.issuperset(strings)
        if not same:
            columns = columns.union(features.keys, strings)
        filled = self._filled + rows * (len(features.keys) + len(strings))
        cells = (self._rows + rows) * len(columns)
        if self._rows and cells > max(MOST_CELLS, SPARSEST * filled):
            return False
        self._rows, self._filled, self._columns = self._rows + rows, filled, columns
        self._keys = features.keys
        return True
