"""A schema registry on the loopback interface, as far as a reader meets one: ``GET /schemas/ids/{id}`` and references.

The shapes of answers are those of Confluent's documented interface.
"""

import contextlib
import json
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import fastavro

NUMBER = 41
"""Of the first schema that is registered."""


class Registry:
    """What the registry knows, and what it was asked.

    Attributes
    ----------
    authorization
        What must be sent; None: nothing.
    answer
        Status and body of every answer, in the place of what would be right.
    asked
        Paths, in order.
    """

    def __init__(self) -> None:
        self.authorization: str | None = None
        self.answer: tuple[int, bytes] | None = None
        self.asked: list[str] = []
        self.url = ""
        self._answers: dict[str, dict[str, Any]] = {}
        self._next = NUMBER

    def register(self, schema: Any, **others: Any) -> int:
        """Register a schema, JSON or what becomes JSON, and return its id."""
        number, self._next = self._next, self._next + 1
        self._answers[f"/schemas/ids/{number}"] = {"schema": _text(schema), **others}
        return number

    def name(self, subject: str, schema: Any, **others: Any) -> dict[str, Any]:
        """Put a schema under a subject, and return a reference to it."""
        self._answers[f"/subjects/{subject}/versions/1"] = {"schema": _text(schema), "id": 1, **others}
        return {"name": subject, "subject": subject, "version": 1}

    def respond(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        self.asked.append(path)
        if self.answer is not None:
            return self.answer
        if authorization != self.authorization:
            return 401, b'{"error_code":40101,"message":"unauthorized"}'
        if path in self._answers:
            return 200, json.dumps(self._answers[path]).encode()
        return 404, b'{"error_code":40403,"message":"Schema 1 not found"}'


@contextlib.contextmanager
def registry(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Registry]:
    """Yield a registry that answers, by TLS where there is a context."""
    known = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*known.respond(self.path, self.headers.get("authorization")))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Register a schema under a subject."""
            given = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = known.answer or (200, b"")
            if known.answer is None:
                body = json.dumps({"id": known.register(given["schema"])}).encode()
            self._answer(status, body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    known.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def framed(number: int, schema: Any, value: Any) -> bytes:
    """Return a value as Confluent's serializers write it."""
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(_text(schema))), value)
    return struct.pack(">bI", 0, number) + body.getvalue()


def record_of(name: str = "Event", **fields: Any) -> dict[str, Any]:
    """Return the schema of a record."""
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def _text(schema: Any) -> str:
    return schema if isinstance(schema, str) else json.dumps(schema)


class KnownSchemas:
    """Schemas without a registry, by their ids."""

    def __init__(self, schemas: Mapping[int, Any]) -> None:
        self._texts = {number: _text(schema) for number, schema in schemas.items()}

    def find(self, number: int) -> Any:
        """See :class:`service.decoding.avro_events.Schemas`."""
        from service.decoding.avro_schema import compile_schema
        from service.decoding.event_problems import PayloadInvalid, Problem

        if number not in self._texts:
            return Problem("schema", f"there is no schema {number}")
        try:
            return compile_schema(self._texts[number])
        except PayloadInvalid as invalid:
            return invalid.problem
