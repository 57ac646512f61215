"""The schema registry, asked by its HTTP interface: ``GET /schemas/ids/{id}``, as Confluent documents it.

On the path it stands beside the decoder of Avro messages. What it says of an id never changes, so each is asked for
once and kept on disk before anything is decoded by it: a restart decodes what it decoded before, also where the
registry is away or has forgotten. Only the answer that there is no such id is an answer; everything else (no
connection, a refusal, an error) is a reason to wait.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from service.decoding.avro_schema import AvroSchema, compile_schema
from service.decoding.event_problems import PayloadInvalid, Problem
from service.errors import RegistryUnavailable
from service.reading.schema_files import KeptSchema, SchemaFiles
from service.settings.schema_registry import SchemaRegistrySettings

_NO_SUCH_SCHEMA = 40403
"""What a registry says beside a 404, unlike whatever else may answer at a wrong address."""

_LARGEST_ANSWER = 4 * 1024 * 1024
_MOST_REFERENCES = 100

_ASK_AGAIN_SECONDS = 30.0
"""How long an id counts as unknown: it may be registered after the first message that bears it."""

_MOST_UNKNOWN = 10_000

_REFUSED_SECONDS = 5.0
"""Between two tries where credentials are refused: many registries lock those out who try too often."""

_REFUSALS = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


class _Reference(msgspec.Struct):
    subject: str
    version: int


class _Answer(msgspec.Struct, rename="camel"):
    """What a registry says of a schema; what else it says is not looked at."""

    schema: str
    schema_type: str = "AVRO"
    references: list[_Reference] = []


class _Trouble(msgspec.Struct):
    error_code: int = 0


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_trouble = msgspec.json.Decoder(_Trouble).decode


class SchemaRegistry:
    """See :class:`service.decoding.avro_events.Schemas`. Owned by one thread.

    Parameters
    ----------
    settings
        Where it is, and who we are.
    files
        Where its answers are kept.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, settings: SchemaRegistrySettings, files: SchemaFiles, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._files = files
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._unknown: dict[int, float] = {}

    def find(self, number: int) -> AvroSchema | Problem:
        """Return a schema, or why there is none."""
        kept = self._files.read(number)
        if kept is None:
            if self._clock() < self._unknown.get(number, 0.0):
                return self._no_such(number)
            kept = self._ask(number)
            if kept is None:
                self._note_unknown(number)
                return self._no_such(number)
            self._files.keep(number, kept)
        if kept.kind != "AVRO":
            return Problem("schema", f"schema {number} is of the type {kept.kind[:50]}, and only Avro is read")
        try:
            return compile_schema(kept.schema, kept.references)
        except PayloadInvalid as invalid:
            return Problem(invalid.problem.reason, f"schema {number}: {invalid.problem.detail}"[:300])

    def _ask(self, number: int) -> KeptSchema | None:
        references: dict[tuple[str, int], str] = {}
        # Each schema is asked for once, so that a connection is not worth keeping.
        with self._connected() as client:
            answer = self._get(client, f"/schemas/ids/{number}")
            if answer is None:
                return None
            self._collect(client, answer.references, references, 0)
        return KeptSchema(answer.schema, answer.schema_type, tuple(references.values()))

    def _collect(
        self, client: httpx.Client, wanted: Sequence[_Reference], found: dict[tuple[str, int], str], depth: int
    ) -> None:
        """Fetch what schemas refer to; each comes after those that it refers to itself."""
        for reference in wanted:
            place = (reference.subject, reference.version)
            if place in found:
                continue
            if len(found) >= _MOST_REFERENCES or depth >= _MOST_REFERENCES:
                return  # the schema will lack a name, and say so
            answer = self._get(client, f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}")
            if answer is not None:
                self._collect(client, answer.references, found, depth + 1)
                found.setdefault(place, answer.schema)

    def _get(self, client: httpx.Client, path: str) -> _Answer | None:
        """Return what the registry has at `path`; None where it says that there is no such schema."""
        try:
            with client.stream("GET", f"{self._settings.url}{path}") as response:
                body = _bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._away(f"cannot be reached ({type(error).__name__}: {str(error)[:200]})") from None
        if body is None:
            raise self._away(f"answers with more than {_LARGEST_ANSWER} bytes")
        if response.status_code in _REFUSALS:
            raise self._away(
                f"refuses us with {response.status_code}: check username and password, or bearer_token",
                _REFUSED_SECONDS,
            )
        try:
            if response.status_code == httpx.codes.OK:
                return _decode_answer(body)
            if response.status_code == httpx.codes.NOT_FOUND and _is_no_such(_decode_trouble(body).error_code):
                return None
        except msgspec.MsgspecError:
            raise self._away(f"answers {response.status_code}, but not as a schema registry does") from None
        raise self._away(f"answers {response.status_code}")

    def _connected(self) -> httpx.Client:
        if self._context is None:
            self._context = _context(self._settings)
        return _client(self._settings, self._context)

    def _away(self, what: str, retry_after: float = 1.0) -> RegistryUnavailable:
        return _unavailable(self._settings, f"{what}; reading waits for it, and nothing is dropped", retry_after)

    def _note_unknown(self, number: int) -> None:
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[number] = self._clock() + _ASK_AGAIN_SECONDS

    def _no_such(self, number: int) -> Problem:
        return Problem("schema", f"the schema registry {self._settings.url} knows no schema {number}")


def registry_client(settings: SchemaRegistrySettings) -> httpx.Client:
    """Return a client for the registry; to be closed.

    Raises
    ------
    RegistryUnavailable
        Certificates cannot be read.
    """
    return _client(settings, _context(settings))


def _unavailable(settings: SchemaRegistrySettings, what: str, retry_after: float = 1.0) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"the schema registry {settings.url} {what}. Where that is not its address, correct schema_registry.url",
        retry_after,
    )


def _is_no_such(code: int) -> bool:
    """Whether an error's code says that there is no such schema, subject or version."""
    return 40401 <= code <= _NO_SUCH_SCHEMA


def _bounded(response: httpx.Response) -> bytes | None:
    """Return the body of an answer; None where it is too long."""
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > _LARGEST_ANSWER:
            return None
    return bytes(body)


def _context(settings: SchemaRegistrySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            password = None if settings.ssl_password is None else settings.ssl_password.get_secret_value()
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password)
    except OSError as error:
        raise _unavailable(settings, f"cannot be asked: its certificates, or ours, cannot be read ({error})") from None
    return context


def _client(settings: SchemaRegistrySettings, context: ssl.SSLContext) -> httpx.Client:
    """Return a client; nothing of it is read from the environment, and no redirection takes our secrets elsewhere."""
    # Not compressed: a bound on bytes then holds for what comes over the network too.
    headers = {"accept": "application/vnd.schemaregistry.v1+json, application/json", "accept-encoding": "identity"}
    if settings.bearer_token is not None:
        headers["authorization"] = f"Bearer {settings.bearer_token.get_secret_value()}"
    auth: Any = None
    if settings.username is not None and settings.password is not None:
        auth = httpx.BasicAuth(settings.username, settings.password.get_secret_value())
    return httpx.Client(auth=auth, verify=context, headers=headers, timeout=settings.timeout, trust_env=False)
