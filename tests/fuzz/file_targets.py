"""Decoders of the service's own files under attack: a disk may hold anything, and no byte of it may end a process."""

import atexit
import hashlib
import json
import shutil
import tempfile
import zlib
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from models.examples import Examples, Features
from service.durability.files import Files
from service.durability.journal_format import Header, encode_header, file_name, frame
from service.durability.journal_reading import read_journal
from service.durability.manifest import decode_manifest, encode_manifest
from service.durability.segments import Segment, SegmentStore
from service.errors import CheckpointInvalid, JournalInvalid
from service.learning.lessons import decode_lesson, encode_lesson
from service.monitoring.status import read_status
from service.publishing.publication_layout import HEAD, MAGIC, MappedFile


@cache
def folder() -> Path:
    """Return a folder for files; it goes with the process."""
    made = Path(tempfile.mkdtemp(prefix="headrace-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def journal(data: bytes) -> None:
    """Read a journal: as it is, and with `data` as the content of frames whose checksums are right."""
    place = folder() / "journal"
    place.mkdir(exist_ok=True)
    path, reserved = place / file_name(1, 0), place / "000001.reserved"
    contents = [each for each in data.split(b"\xff\xff\xff") if each]
    framed = b"".join(map(frame, contents))
    for content in (data, framed, HEADER + framed):
        path.write_bytes(content)
        reserved.write_bytes(content[:32])
        try:
            tail = read_journal(place, 0)
        except JournalInvalid as error:
            _told(error)
            continue
        assert tail.resume_version >= 0
        versions = [entry.version for entry in tail.entries]
        assert all(type(version) is int for version in versions)


HEADER = encode_header(Header(1, 1, 0, -1, "", 10_000, []))


def _told(error: Exception) -> None:
    assert str(error), "the operator is told nothing"


def manifests(data: bytes) -> None:
    """Read a manifest: as it is, and with the checksum that belongs to it."""
    path = folder() / "manifest.json"
    for content in (data, _with_checksum(data)):
        path.write_bytes(content)
        try:
            manifest = decode_manifest(path)
        except CheckpointInvalid as error:
            _told(error)
            continue
        for segment in manifest.all_segments():
            assert not Path(segment.path).is_absolute()
            assert ".." not in Path(segment.path).parts, "a segment lies outside of its folder"
        encode_manifest(manifest)


def _with_checksum(data: bytes) -> bytes:
    try:
        body = json.loads(data)
        body.pop("sha256", None)
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), **body}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


def lessons(data: bytes) -> None:
    """Read what a teacher said of as many rows as the first byte says."""
    if not data:
        return
    rows = data[0]
    try:
        taught = decode_lesson(data[1:], rows)
    except JournalInvalid as error:
        _told(error)
        return
    if taught is not None:
        assert 0 < taught.weight < 1
        assert all(type(each) in (str, int, float, bool) for each in taught.classes)
        assert len(taught.chosen) == len(taught.shares) == rows
        assert taught.chosen.shape == taught.shares.shape
        assert taught.values.shape == ((0,) if taught.classes else (rows,))
        assert np.isfinite(taught.values).all()
        assert taught.chosen.max(initial=0) < max(1, len(taught.classes))
        examples = Examples(Features.empty(rows), [0] * rows, np.ones(rows, np.float32), np.zeros(rows), taught=taught)
        again = decode_lesson(encode_lesson(examples), rows)
        assert again is not None
        assert again.chosen.tobytes() == taught.chosen.tobytes()


def segments(data: bytes) -> None:
    """Read a segment whose checksum is right."""
    name = hashlib.sha256(data).hexdigest()
    path = folder() / f"{name}.safetensors"
    path.write_bytes(data)
    try:
        SegmentStore(folder(), Files()).load(Segment(path.name, name, len(data)))
    except CheckpointInvalid as error:
        _told(error)
    finally:
        path.unlink()


def statuses(data: bytes) -> None:
    """Read what the trainer reports."""
    path = folder() / "status.json"
    path.write_bytes(data)
    status = read_status(path)
    if status is not None:
        msgspec.json.encode(status)


def publications(data: bytes) -> None:
    """Map a publication: as it is, and with a head that fits to `data` as a description."""
    path = folder() / "layout-000001"
    words = [MAGIC, 1, 0, 0, 0, len(data), zlib.crc32(data)]
    head = b"".join(word.to_bytes(8, "little") for word in words).ljust(HEAD, b"\0")
    for content in (data, head + data, head + data + bytes(16384)):
        path.write_bytes(content)
        MappedFile.open(path)
