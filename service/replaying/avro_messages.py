"""Events as Avro messages in Confluent's framing, by a schema that is registered first.

Before the path: what a producer of somebody's own would do, but with one schema for all events in the envelope format:
features are a map, so that any may come at any time.
"""

import json
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

import fastavro
import httpx
import msgspec

from service.decoding.flattening import FeatureInvalid, flatten
from service.errors import DeliveryFailed, RegistryUnavailable
from service.reading.schema_registry import registry_client
from service.settings.schema_registry import SchemaRegistrySettings

_VALUE = ["null", "boolean", "double", "string", *({"type": "array", "items": kind} for kind in ("double", "string"))]

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "namespace": "headrace",
    "fields": [
        {"name": "features", "type": ["null", {"type": "map", "values": _VALUE}], "default": None},
        {"name": "label", "type": ["null", "boolean", "long", "double", "string"], "default": None},
        {"name": "id", "type": ["null", "long", "string"], "default": None},
        {"name": "timestamp", "type": ["null", "double", "string"], "default": None},
        {"name": "weight", "type": ["null", "double"], "default": None},
    ],
}
"""An event in the envelope format."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def avro_writer(settings: SchemaRegistrySettings, topic: str) -> Callable[[bytes], bytes]:
    """Register the schema for `topic`, and return what makes a message of an event.

    Raises
    ------
    DeliveryFailed
        The registry does not take the schema, or does not answer.
    """
    number = _register(settings, f"{topic}-value")
    schema = fastavro.parse_schema(SCHEMA)
    header = struct.pack(">bI", 0, number)

    def write(event: bytes) -> bytes:
        found = _decode(event)
        body = BytesIO()
        try:
            if found.get("features") is not None:
                found["features"] = flatten(found["features"])
            fastavro.schemaless_writer(body, schema, found)
        except (ValueError, TypeError, OverflowError, AttributeError, FeatureInvalid) as error:
            what = " ".join(str(error).split())[:200]
            raise DeliveryFailed(f"an event cannot be written in Avro: {what}; send them as --format ndjson") from None
        return header + body.getvalue()

    return write


def _register(settings: SchemaRegistrySettings, subject: str) -> int:
    path = f"{settings.url}/subjects/{quote(subject, safe='')}/versions"
    body = {"schema": json.dumps(SCHEMA), "schemaType": "AVRO"}
    try:
        with registry_client(settings) as client:
            answer = client.post(path, json=body)
        if answer.status_code == httpx.codes.OK:
            return int(answer.json()["id"])
    except RegistryUnavailable as error:
        raise DeliveryFailed(str(error)) from None
    except (httpx.HTTPError, OSError) as error:
        raise DeliveryFailed(
            f"the schema registry {settings.url} cannot be reached ({type(error).__name__}); start it, or correct "
            "schema_registry.url"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise DeliveryFailed(
            f"{settings.url} does not answer as a schema registry does; correct schema_registry.url"
        ) from None
    raise DeliveryFailed(
        f"the schema registry {settings.url} does not take the schema of {subject} ({answer.status_code}: "
        f"{answer.text[:200]}); a topic with another schema is not for events of a replay: take another --topic"
    )
