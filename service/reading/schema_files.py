"""Schemas as they are kept on disk, one file an id, for as long as the model is: what was decoded once decodes again.

On the path they stand behind the schema registry (``schema_registry.py``). Each file carries a checksum; one that is
damaged counts as absent, so that the registry is asked again.
"""

import hashlib
from pathlib import Path

import msgspec
import structlog

from service.durability.files import Files
from service.errors import RegistryUnavailable, StorageFailed

_log = structlog.get_logger("headrace.ingest")


class KeptSchema(msgspec.Struct, frozen=True):
    """What a registry said of an id.

    Attributes
    ----------
    schema
        As it is registered.
    kind
        ``AVRO``, or another format.
    references
        Schemas whose names it uses, each after those that it uses itself.
    """

    schema: str
    kind: str = "AVRO"
    references: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(KeptSchema).decode


class SchemaFiles:
    """The schemas of one registry.

    Parameters
    ----------
    folder
        Of all registries; it is made when it is needed.
    url
        Of the registry: ids of another one are other schemas.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._files = Files()

    def read(self, number: int) -> KeptSchema | None:
        """Return what is kept of an id; None where nothing is that can be relied on."""
        try:
            digest, _, content = self._path(number).read_bytes().partition(b"\n")
            if digest == _digest(content):
                return _decode(content)
            _log.warning("a schema on disk is damaged: the registry is asked again", path=str(self._path(number)))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("a schema on disk cannot be read: the registry is asked again", error=str(error))
        return None

    def keep(self, number: int, schema: KeptSchema) -> None:
        """Put a schema on disk.

        Raises
        ------
        RegistryUnavailable
            The disk takes nothing: without it, a restart might decode something else.
        DurabilityLost
        """
        content = msgspec.json.encode(schema)
        try:
            self._files.make_folder(self._folder)
            self._files.write(self._path(number), [_digest(content), b"\n", content])
        except StorageFailed as error:
            if self.read(number) == schema:
                return  # another reading program of the model was writing it too
            raise RegistryUnavailable(f"schema {number} cannot be kept, so reading waits: {error}") from None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
