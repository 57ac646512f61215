"""The shape of the events seen so far, as a tree, and the typed decoder that msgspec generates from it.

A schema only ever decides how fast an event is decoded, never what it means: an event that does not fit it is decoded
by the general path, and what does not fit into a schema (odd names, too many of them) is simply not put there.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.examples import Kind
from service.decoding.array_columns import ArrayColumn, FeatureColumn
from service.decoding.assembly import MAXIMUM_NAME
from service.decoding.flattening import MAXIMUM_DEPTH, Selection
from service.decoding.single_decoding import part_paths
from service.decoding.table import PARTS, Column
from service.settings.event_options import EventOptions

MAXIMUM_LEAVES = 1_000
"""Names in a schema; each costs every decoded event eight bytes."""

_REMEMBERED = 10 * MAXIMUM_LEAVES
"""Names that were met, and are remembered until they come again."""

PART_TYPES: dict[str, Any] = {
    "label": str | int | float | bool | None,
    "id": str | int | None,
    "timestamp": float | str | None,
    "weight": float | None,
    # Whatever it is, the event is as it would be without it; a form of its own would send all others the slow way.
    "prediction": Any,
}


_ANY_BUT_OBJECT = float | str | bool | list[Any]


class Node:
    """One place in the events: values of some types, or an object with places of its own, or now this, now that.

    Attributes
    ----------
    name
        Dotted.
    part
        The part of the event that is found here; None for features.
    wanted
        Whether the values are wanted at all.
    types
        What has been seen here: float (any number), bool, str, and list[float], list[str].
    children
        Key → place within the object that was seen here.
    """

    __slots__ = ("children", "name", "part", "struct", "types", "wanted")

    def __init__(self, name: str, part: str | None = None, wanted: bool = True) -> None:
        self.name = name
        self.part = part
        self.wanted = wanted
        self.types: set[Any] = set()
        self.children: dict[str, Node] = {}
        self.struct: type | None = None


class Schema:
    """Learns the shape of events, and makes a decoder for it."""

    def __init__(self, options: EventOptions, selection: Selection) -> None:
        self._parts = part_paths(options)
        self._envelope = options.format == "envelope"
        self._selection = selection
        self._declared = options.features
        self._root = Node("")
        self._names: set[str] = set()
        self._met: set[str] = set()
        self._twice = False
        self.changed = False

    @property
    def leaves(self) -> int:
        """Names in it."""
        return len(self._names)

    @property
    def full(self) -> bool:
        """Whether no further name is taken in."""
        return len(self._names) >= MAXIMUM_LEAVES

    def observe(self, nested: Mapping[str, Any], *, twice: bool = False) -> None:
        """Make room for the shape of an event's features as they came, nested.

        With `twice`, a name has its place only when it is met again: one that never comes back is not worth another
        decoder, and a place in every event.
        """
        self._twice = twice
        self._observe(self._root, nested, 1)

    def compile(self) -> type:
        """Return the struct type of a whole event."""
        self.changed = False
        self._compile(self._root)
        if not self._envelope:
            assert self._root.struct is not None  # noqa: S101 (for the type checker: compiled in the line above)
            return self._root.struct
        features: Any = self._root.struct
        fields = [("features", features | None, None), *((part, PART_TYPES[part], None) for part in PARTS)]
        return msgspec.defstruct("TypedEnvelope", fields, gc=False)

    def columns(self, rows: Sequence[Any]) -> tuple[dict[str, FeatureColumn], dict[str, Column]]:
        """Return the features and the parts that decoded structs hold; a row may be None.

        For envelopes the rows are those of the features.
        """
        features: dict[str, FeatureColumn] = {}
        parts: dict[str, Column] = {}
        self._read(self._root, rows, features, parts)
        return features, parts

    def _observe(self, node: Node, nested: Mapping[str, Any], depth: int) -> None:
        for key, value in nested.items():
            child = node.children.get(key) or self._admit(node, key, depth)
            if child is None or not child.wanted:
                continue
            if type(value) is dict and child.part is None:
                self._observe(child, value, depth + 1)
            elif child.part is None:
                self._widen(child, value)

    def _admit(self, node: Node, key: str, depth: int) -> Node | None:
        """Give a key its place; None where it can have none and the general path must see to it."""
        name = f"{node.name}.{key}" if node is not self._root else key
        if name in self._names or self.full or not _can_be_field(key) or len(name) > MAXIMUM_NAME:
            return None
        part = self._parts.get(name)
        if depth > MAXIMUM_DEPTH or (self._twice and part is None and self._is_new(name)):
            return None
        child = Node(name, part, wanted=part is not None or not self._selection.leaves_out(name))
        self._names.add(name)
        self.changed = True
        node.children[key] = child
        return child

    def _is_new(self, name: str) -> bool:
        """Whether a name is met for the first time."""
        if name in self._met:
            return False
        if len(self._met) >= _REMEMBERED:
            self._met.clear()
        self._met.add(name)
        return True

    def _widen(self, node: Node, value: Any) -> None:
        """Let a place hold the type of `value`, if a feature may be of that type."""
        kind = _type_of(value)
        if kind is None or kind in node.types or not self._selection.wants(node.name):
            return
        declared = self._declared.get(node.name)
        if declared is Kind.CATEGORY and kind is float:
            kind = int
        if declared is None or kind in _DECLARED[declared]:
            node.types.add(kind)
            self.changed = True

    def _compile(self, node: Node) -> None:
        """Make the struct of a place that holds objects."""
        fields = []
        names = {}
        for number, (key, child) in enumerate(node.children.items()):
            names[f"f{number}"] = key
            fields.append((f"f{number}", self._field_type(child), None))
        node.struct = msgspec.defstruct("TypedObject", fields, rename=names, forbid_unknown_fields=True, gc=False)

    def _field_type(self, node: Node) -> Any:
        if node.part is not None:
            return PART_TYPES[node.part]
        if not node.wanted:
            return Any
        # What is not wanted must still not be an object, for what is within it may be.
        field: Any = _union(node.types) if self._selection.wants(node.name) else _ANY_BUT_OBJECT
        if node.children:
            self._compile(node)
            field = node.struct if field is None else field | node.struct
        return field | None if field is not None else None

    def _read(
        self, node: Node, rows: Sequence[Any], features: dict[str, FeatureColumn], parts: dict[str, Column]
    ) -> None:
        for number, child in enumerate(node.children.values()):
            if not child.wanted or not (child.types or child.children or child.part):
                continue
            if child.part is None and child.types == _NUMBERS and not child.children:
                features[child.name] = ArrayColumn(Kind.NUMBER, _numbers(rows, f"f{number}"))
                continue
            values = _attributes(rows, f"f{number}")
            if child.part is not None:
                parts[child.part] = values
                continue
            if child.children:
                struct = child.struct
                self._read(child, [v if type(v) is struct else None for v in values], features, parts)
                values = [None if type(v) is struct else v for v in values] if child.types else values
            if child.types:
                features[child.name] = values


_NUMBERS = {float}

_DECLARED: dict[Kind, frozenset[Any]] = {
    Kind.NUMBER: frozenset({float}),
    Kind.BOOLEAN: frozenset({bool}),
    Kind.CATEGORY: frozenset({str, int}),
    Kind.VECTOR: frozenset({list[float]}),
    Kind.TOKENS: frozenset({list[str]}),
}


def _type_of(value: Any) -> Any:
    """Return the type to decode `value` as; None where it is no feature."""
    if type(value) in (float, int):
        return float
    if type(value) in (str, bool):
        return type(value)
    if type(value) is not list or not value:
        return None
    types = set(map(type, value))
    return list[str] if types == {str} else list[float] if types <= {int, float} else None


def _union(types: set[Any]) -> Any:
    """Return a union; None where nothing was seen yet."""
    if list[float] in types and list[str] in types:
        # One type for both, for a union may hold only one kind of list.
        types = types - {list[float], list[str]} | {list[float | str]}
    union: Any = None
    for each in sorted(types, key=str):
        union = each if union is None else union | each
    return union


def _can_be_field(key: str) -> bool:
    """Whether msgspec takes `key` for the name of a field."""
    return '"' not in key and "\\" not in key and not any(character < " " for character in key)


def _numbers(rows: Sequence[Any], name: str) -> NDArray[np.float64]:
    """Return an attribute of each row, which is a number or None; NaN where there is none."""
    try:
        return np.fromiter(map(attrgetter(name), rows), np.float64, len(rows))
    except (TypeError, AttributeError):
        return np.array(_attributes(rows, name), np.float64)


def _attributes(rows: Sequence[Any], name: str) -> Column:
    """Return an attribute of each row; None where the row is None."""
    read = attrgetter(name)
    try:
        return list(map(read, rows))
    except AttributeError:
        return [None if row is None else read(row) for row in rows]
