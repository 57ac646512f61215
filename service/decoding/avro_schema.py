"""Avro schemas, checked before anything is read by them: what a message may make of a few bytes is decided here.

On the path it stands between the schema registry and the decoder of Avro messages. Whoever may write to a topic may
register a schema too, so a schema is taken for hostile: one that contains itself, is nested deeply, or has lists of
items that take no bytes (a message of ten bytes could then hold a billion of them) is not taken.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import fastavro
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException

from service.decoding.event_problems import PayloadInvalid, explain

MAXIMUM_DEPTH = 64
"""Levels of types within types."""

_MOST_NODES = 20_000
"""Types that one schema may name; also values that a message may hold without a byte for them."""

_MOST_A_BYTE = 8.0
"""Values that a byte of a list may become, on average; a name of 32 characters counts as one."""

_NAME_CHARACTERS = 32

_LARGEST_FIXED = 1 << 20

_DECIMAL = "headrace-decimal"
"""A logical type of our own: fastavro's decimals take minutes for a megabyte of digits."""

_DECIMAL_BYTES = 64
"""Digits of 512 bits: far beyond what a float tells apart."""

_MOST_SCALE = 300

_KEPT = {
    "int": {"date", "time-millis"},
    "long": {
        "time-micros",
        "timestamp-millis",
        "timestamp-micros",
        "local-timestamp-millis",
        "local-timestamp-micros",
    },
}
"""Logical types that fastavro reads; the value of any other is that of the type beneath, as Avro demands."""

_LEAST_BYTES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


class AvroSchema(NamedTuple):
    """A schema that may be read by, as fastavro parsed it."""

    parsed: Any


class _Weight(NamedTuple):
    """What values of a type take.

    Attributes
    ----------
    least
        Bytes.
    free
        Values, and characters of names, that take no bytes.
    a_byte
        Most of them for each byte beyond.
    depth
        Levels.
    """

    least: int
    free: float
    a_byte: float
    depth: int


def compile_schema(text: str, references: Sequence[str] = ()) -> AvroSchema:
    """Return a schema to read messages by.

    Parameters
    ----------
    text
        JSON, as it is registered.
    references
        Schemas whose names it uses, each after those that it uses itself.

    Raises
    ------
    PayloadInvalid
        It is no schema, or none that may be read by; the reason is ``schema``.
    """
    compiler = _Compiler()
    try:
        named: dict[str, Any] = {}
        parsed = None
        for each in (*references, text):
            parsed = fastavro.parse_schema(compiler.schema(json.loads(each), "", 1)[0], named_schemas=named)
    except (SchemaParseException, ValueError, TypeError, LookupError, RecursionError, AttributeError) as error:
        raise PayloadInvalid("schema", explain(error) or type(error).__name__) from None
    return AvroSchema(parsed)


class _Compiler:
    """Checks schemas, and rewrites their decimals."""

    def __init__(self) -> None:
        self._nodes = 0
        self._named: dict[str, _Weight | None] = {}

    def schema(self, schema: Any, namespace: str, depth: int) -> tuple[Any, _Weight]:
        """Return a schema as it is to be read, and what its values take.

        Raises
        ------
        ValueError
            It may not be read by; others where it is no schema at all.
        """
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > MAXIMUM_DEPTH:
            raise ValueError(f"the schema names more than {_MOST_NODES} types, or nests them {MAXIMUM_DEPTH} deep")
        if isinstance(schema, list):
            return self._union(schema, namespace, depth)
        if isinstance(schema, str):
            return self._name(schema, namespace)
        if not isinstance(schema["type"], str):
            return self.schema(schema["type"], namespace, depth + 1)
        rewritten, weight = self._complex(schema, namespace, depth)
        if weight.free > _MOST_NODES or weight.depth > MAXIMUM_DEPTH:
            raise ValueError(f"values of the schema are nested more than {MAXIMUM_DEPTH} deep, or take no bytes")
        return rewritten, weight

    def _name(self, name: str, namespace: str) -> tuple[str, _Weight]:
        if name in _LEAST_BYTES:
            return name, _primitive(name)
        full = name if "." in name or f"{namespace}.{name}" not in self._named else f"{namespace}.{name}"
        weight = self._named.get(full, _UNKNOWN)
        if weight is None:
            raise ValueError(f"the schema's type {full[:100]!r} contains itself; a model has no use for such events")
        if weight is _UNKNOWN:
            raise ValueError(f"the schema has no type {full[:100]!r}")
        return full, weight

    def _complex(self, schema: Mapping[str, Any], namespace: str, depth: int) -> tuple[Any, _Weight]:
        match schema["type"]:
            case "record" | "error":
                return self._record(schema, namespace, depth)
            case "enum":
                full, _ = self._begin(schema, namespace)
                self._named[full] = _Weight(1, 0, 1, 1)
                return {"type": "enum", "name": full, "symbols": schema["symbols"]}, _Weight(1, 0, 1, 1)
            case "fixed":
                return self._fixed(schema, namespace)
            case "array":
                items, weight = self.schema(schema["items"], namespace, depth + 1)
                return {"type": "array", "items": items}, _repeated(weight, 0)
            case "map":
                items, weight = self.schema(schema["values"], namespace, depth + 1)
                return {"type": "map", "values": items}, _repeated(weight, 1)
            case name:
                rewritten, weight = self._name(name, namespace)
                return _with_logical_type(rewritten, schema), weight

    def _begin(self, schema: Mapping[str, Any], namespace: str) -> tuple[str, str]:
        """Return the full name of a named type, and the namespace within it."""
        name = schema["name"]
        within = name.rpartition(".")[0] if "." in name else schema.get("namespace") or namespace
        full = name if "." in name or not within else f"{within}.{name}"
        if full in self._named or name in _LEAST_BYTES:
            raise ValueError(f"the schema has two types {full[:100]!r}")
        self._named[full] = None
        return full, within

    def _record(self, schema: Mapping[str, Any], namespace: str, depth: int) -> tuple[Any, _Weight]:
        full, within = self._begin(schema, namespace)
        fields, names = [], set()
        least, free, a_byte, deepest = 0, 1.0, 0.0, 0
        for field in schema["fields"]:
            name = field["name"]
            if name in names or not isinstance(name, str):
                raise ValueError(f"the schema's record {full[:100]!r} has two fields {str(name)[:100]!r}")
            names.add(name)
            rewritten, weight = self.schema(field["type"], within, depth + 1)
            fields.append({"name": name, "type": rewritten})
            words = len(name) / _NAME_CHARACTERS
            least, deepest = least + weight.least, max(deepest, weight.depth)
            free += weight.free + words
            a_byte = max(a_byte, weight.a_byte)
        weight = self._named[full] = _Weight(least, free, a_byte, deepest + 1)
        return {"type": "record", "name": full, "fields": fields}, weight

    def _fixed(self, schema: Mapping[str, Any], namespace: str) -> tuple[Any, _Weight]:
        full, _ = self._begin(schema, namespace)
        size = schema["size"]
        if type(size) is not int or not 0 <= size <= _LARGEST_FIXED:
            raise ValueError(f"the schema's type {full[:100]!r} has {str(size)[:20]} bytes")
        weight = self._named[full] = _Weight(size, 1 if not size else 0, 1, 1)
        return _with_logical_type("fixed", schema) | {"name": full, "size": size}, weight

    def _union(self, branches: list[Any], namespace: str, depth: int) -> tuple[Any, _Weight]:
        if not branches:
            raise ValueError("the schema has a union of nothing")
        found = [self.schema(branch, namespace, depth + 1) for branch in branches]
        weights = [weight for _, weight in found]
        least = 1 + min(weight.least for weight in weights)
        a_byte = max(weight.a_byte + weight.free / (1 + weight.least) for weight in weights)
        return [branch for branch, _ in found], _Weight(least, 0, a_byte, max(weight.depth for weight in weights))


_UNKNOWN = _Weight(-1, 0, 0, 0)


def _primitive(name: str) -> _Weight:
    least = _LEAST_BYTES[name]
    return _Weight(least, 0 if least else 1, 1, 1)


def _repeated(item: _Weight, key: int) -> _Weight:
    """Return what a list takes, or a map, whose keys take a byte each."""
    least = item.least + key
    a_byte = item.a_byte + item.free / least if least else float("inf")
    if a_byte > _MOST_A_BYTE:
        raise ValueError("the schema has lists of items that take few bytes or none, and could become any number")
    return _Weight(1, 0, max(1.0, a_byte), item.depth + 1)


def _with_logical_type(name: str, schema: Mapping[str, Any]) -> Any:
    """Return a type that is no list, record or enum, with the logical type that is read."""
    logical = schema.get("logicalType")
    if logical == "decimal" and name in ("bytes", "fixed"):
        scale = schema.get("scale", 0)
        if type(scale) is int and 0 <= scale <= _MOST_SCALE:
            return {"type": name, "logicalType": _DECIMAL, "scale": scale}
    if logical in _KEPT.get(name, ()):
        return {"type": name, "logicalType": logical}
    return {"type": name}


def _decimal(data: bytes, writer_schema: Any = None, _reader_schema: Any = None) -> float:
    """Return the float that is nearest to a decimal: an integer, the highest byte first, times ``10**-scale``."""
    if len(data) > _DECIMAL_BYTES:
        raise ValueError(f"a decimal of {len(data)} bytes")
    scale: int = writer_schema["scale"]
    return float(int.from_bytes(data, "big", signed=True) / 10**scale)


LOGICAL_READERS[f"bytes-{_DECIMAL}"] = LOGICAL_READERS[f"fixed-{_DECIMAL}"] = _decimal
