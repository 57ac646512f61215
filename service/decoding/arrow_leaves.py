"""Which columns of an Arrow stream are which features, and which parts of an event: read off its schema once.

On the path it stands between a stream's schema and ``arrow_columns.py``. Names are those that the rows would have as
JSON: nested ones joined by dots, and only those that are wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.decoding.flattening import MAXIMUM_DEPTH, Selection
from service.decoding.single_decoding import part_paths
from service.decoding.table import PARTS
from service.settings.event_options import EventOptions

_FEATURES = "features"

_MOST = 4_096
"""Columns that are read as columns; each costs some microseconds a message, however few rows it has."""

_LONGEST = 1_000
"""Characters of a name that is read as a column: longer ones are refused, row by row."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of the stream that is no struct.

    Attributes
    ----------
    path
        Places from the outermost column inward.
    name
        Dotted; of a feature, or which of :data:`PARTS` it is.
    is_part
        Which of the two.
    """

    path: tuple[int, ...]
    name: str
    is_part: bool


class _Unlike(Exception):
    """Rows of this schema must be taken one by one: something about its names is wrong, or unusual."""


def leaves_of(pa: Any, schema: Any, options: EventOptions, selection: Selection) -> Sequence[Leaf] | None:
    """Return the columns that are wanted of a schema; None where its rows must be taken one by one.

    Parameters
    ----------
    pa
        The module ``pyarrow``.
    schema
        The stream's.
    """
    finder = _Finder(pa, options, selection)
    try:
        finder.envelope(schema) if options.format == "envelope" else finder.descend(list(schema), (), "", 1)
    except (_Unlike, UnicodeDecodeError):
        return None
    names = [(leaf.name, leaf.is_part) for leaf in finder.leaves]
    return finder.leaves if len(set(names)) == len(names) <= _MOST else None


class _Finder:
    """Collects leaves."""

    def __init__(self, pa: Any, options: EventOptions, selection: Selection) -> None:
        self.leaves: list[Leaf] = []
        self._types = pa.types
        self._selection = selection
        self._parts = part_paths(options)
        self._names: set[str] = set()

    def envelope(self, schema: Any) -> None:
        """Take the columns of an envelope: the features are within one of them, the others are parts."""
        if len(set(schema.names)) < len(schema.names):
            raise _Unlike
        for place, field in enumerate(schema):
            if field.name == _FEATURES:
                self._features(field, place)
            elif field.name in PARTS:
                self._take((place,), field, field.name, is_part=True)

    def descend(self, fields: Sequence[Any], path: tuple[int, ...], prefix: str, depth: int) -> None:
        """Take what is wanted of fields whose names begin with `prefix`."""
        for place, field in enumerate(fields):
            name = prefix + field.name
            if name in self._names or len(name) > _LONGEST or depth > MAXIMUM_DEPTH:
                raise _Unlike
            self._names.add(name)
            if name in self._parts:
                self._take((*path, place), field, self._parts[name], is_part=True)
            elif not self._types.is_struct(field.type):
                if self._selection.wants(name):
                    self._take((*path, place), field, name, is_part=False)
            elif not self._selection.leaves_out(name):
                self.descend(_fields(field.type), (*path, place), f"{name}.", depth + 1)

    def _features(self, field: Any, place: int) -> None:
        if self._types.is_null(field.type):
            return
        if not self._types.is_struct(field.type):
            raise _Unlike
        self.descend(_fields(field.type), (place,), "", 1)

    def _take(self, path: tuple[int, ...], field: Any, name: str, *, is_part: bool) -> None:
        if not (self._is_plain(field.type) or (not is_part and self._is_list(field.type))):
            raise _Unlike
        self.leaves.append(Leaf(path, name, is_part))

    def _is_plain(self, kind: Any) -> bool:
        types = self._types
        if types.is_dictionary(kind):
            kind = kind.value_type
            return bool(types.is_string(kind) or types.is_large_string(kind))
        tests = (types.is_null, types.is_primitive, types.is_decimal, types.is_string, types.is_large_string)
        return any(test(kind) for test in tests)

    def _is_list(self, kind: Any) -> bool:
        types = self._types
        tests = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        return any(test(kind) for test in tests) and self._is_plain(kind.value_type)


def _fields(kind: Any) -> list[Any]:
    return [kind.field(place) for place in range(kind.num_fields)]
