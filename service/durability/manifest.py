"""A checkpoint's manifest as JSON: what it says, its schema version, and its own checksum."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from consumers.source import Positions
from models.learner import Json
from service.durability.ownership import read_own
from service.durability.segments import Segment
from service.errors import CheckpointInvalid, SchemaUnknown

SCHEMA = 1
"""Version of what is written; this one and the one before it are read."""


_SEGMENT_PATH = re.compile(r"\d{6,}/[0-9a-f]{64}(?:-[0-9a-z]+)?\.safetensors", re.ASCII)
"""Nothing else is ever opened because a manifest names it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says; see :class:`service.checkpoints.Checkpoint`.

    Attributes
    ----------
    learners
        Learner → its ``meta``; the main one's name is empty.
    segments
        Learner → prefix of its arrays' names → the segment that holds them.
    """

    version: int
    epoch: int
    created: float
    positions: Positions
    service: Json
    learners: Mapping[str, Json]
    segments: Mapping[str, Mapping[str, Segment]]

    def all_segments(self) -> Iterator[Segment]:
        """Yield every segment that it names."""
        for segments in self.segments.values():
            yield from segments.values()


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the file's content."""
    body = {
        "schema": SCHEMA,
        "version": manifest.version,
        "epoch": manifest.epoch,
        "created": manifest.created,
        "positions": {str(partition): list(position) for partition, position in manifest.positions.items()},
        "service": manifest.service,
        "learners": manifest.learners,
        "segments": {
            name: {key: asdict(segment) for key, segment in segments.items()}
            for name, segments in manifest.segments.items()
        },
    }
    # The standard library's JSON, because it keeps whole numbers of any length (random states) and NaN.
    body = json.loads(json.dumps(body))
    return json.dumps({"sha256": _checksum(body), **body}, indent=1).encode()


def decode_manifest(path: Path) -> Manifest:
    """Read the manifest at `path`.

    Raises
    ------
    CheckpointInvalid
        It is missing or altered.
    SchemaUnknown
        It is of a schema version that this program does not read.
    """
    try:
        body = json.loads(read_own(path))
        schema, checksum = body["schema"], body.pop("sha256")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointInvalid(f"{path} cannot be read as a manifest: {error}") from error
    if checksum != _checksum(body):
        raise CheckpointInvalid(f"{path} is not what was written: its checksum differs")
    if schema not in (SCHEMA, SCHEMA - 1):
        raise SchemaUnknown(
            f"{path} has schema version {schema}, and this program reads {SCHEMA - 1} and {SCHEMA}: use the version of "
            "Headrace that wrote it, or the one after that"
        )
    try:
        manifest = msgspec.convert(body, Manifest, str_keys=True)
    except (msgspec.ValidationError, ValueError) as error:
        raise CheckpointInvalid(f"{path} is no manifest, though its checksum is right: {error}") from error
    for segment in manifest.all_segments():
        if not _SEGMENT_PATH.fullmatch(segment.path):
            raise CheckpointInvalid(f"{path} names a segment where none can be: {segment.path[:100]!r}")
    return manifest


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
