"""Messages in Avro, framed as Confluent's serializers do: a zero byte, the schema's id in four bytes, the body.

On the path they become JSON here, by the schema that they were written with, and go the way of all events; so an event
means the same whether it comes in Avro or in JSON. No schema of our own is needed: features are what is there, also
when the writers' schema changes. An id that the registry does not know costs the message, a dead letter; a registry
that does not answer costs nothing, for it is asked before anything is decoded, and whoever reads waits for it.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from service.decoding.arrow_events import as_json
from service.decoding.event_problems import PayloadInvalid, Problem, explain
from service.decoding.payloads import MAGIC

if TYPE_CHECKING:
    from service.decoding.avro_schema import AvroSchema

_HEADER = struct.Struct(">bI")

_MOST_BYTES = 64 * 1024 * 1024
"""Length of one event as JSON."""

_REMEMBERED = 1_000
"""Schemas kept ready; a topic has a few."""

_BROKEN = (ValueError, TypeError, LookupError, ArithmeticError, struct.error, RecursionError)
"""What fastavro raises for a body that does not fit its schema, and for times that are none."""


class Schemas(Protocol):
    """Knows schemas by their ids, and remembers them for ever: what was decoded once must decode the same again."""

    def find(self, number: int) -> "AvroSchema | Problem":
        """Return a schema, or why there is none.

        Raises
        ------
        RegistryUnavailable
            Nobody can tell now.
        """


class AvroEvents:
    """Turns Avro messages into JSON. Owned by one thread."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._ready: OrderedDict[int, Any] = OrderedDict()

    def prepare(self, values: Iterable[bytes]) -> None:
        """Have the schemas of some messages ready.

        Raises
        ------
        RegistryUnavailable
            None of the messages may be decoded yet.
        """
        for header in {value[: _HEADER.size] for value in values if value[:1] == MAGIC}:
            number = _schema_id(header)
            if number is not None:
                self._find(number)

    def as_json(self, value: bytes) -> bytes:
        """Return the event that a message holds.

        Raises
        ------
        PayloadInvalid
            There is no such schema, or the body is none of it.
        """
        number = _schema_id(value)
        if number is None:
            raise PayloadInvalid("malformed", "Avro begins with a zero byte and the schema's id in four")
        schema = self._find(number)
        if isinstance(schema, Problem):
            raise PayloadInvalid(*schema)
        from fastavro import schemaless_reader  # noqa: PLC0415 (optional, and loaded by who found the schema)

        body = BytesIO(value)
        body.seek(_HEADER.size)
        try:
            event = as_json(schemaless_reader(body, schema.parsed, None))
        except EOFError:
            raise PayloadInvalid("malformed", f"no event of schema {number}: the message ends before it does") from None
        except _BROKEN as error:
            raise PayloadInvalid("malformed", f"no event of schema {number}: {explain(error)}") from None
        if body.tell() != len(value) or len(event) > _MOST_BYTES:
            raise PayloadInvalid("malformed", f"no event of schema {number}: there are more bytes than it says")
        return event

    def _find(self, number: int) -> "AvroSchema | Problem":
        found = self._ready.get(number)
        if found is not None:
            return found  # type: ignore[no-any-return]  # only schemas are put there
        schema = self._schemas.find(number)
        if not isinstance(schema, Problem):
            self._ready[number] = schema
            if len(self._ready) > _REMEMBERED:
                self._ready.popitem(last=False)
        return schema


def _schema_id(value: bytes) -> int | None:
    if len(value) < _HEADER.size or value[:1] != MAGIC:
        return None
    return int(_HEADER.unpack_from(value)[1])
