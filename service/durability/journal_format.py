"""What the journal's files look like: frames, entries, headers and names; no file is touched here.

A file is a sequence of frames ``[length u32][checksum u32][msgpack]``, little endian; the checksum (CRC-32) covers
length and content, and no content is empty, so that neither a changed length nor a run of zeros passes for a frame. The
first frame is the header; each of the others is one entry.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from consumers.source import Position, Positions
from consumers.track import Run
from models.effort import FULL, effort_of
from models.learner import Json

SCHEMA = 5
"""Version of what is written; it and those before it are read. Since 5 a decision may hold the command that it obeys:
a program that knew nothing of those would do the command again."""

_FRAME = struct.Struct("<II")
_UPDATE, _DECISION, _CLOSED = 1, 2, 3

NOBODY = ""
"""In place of a learner's name, where there is none yet: what came waits for what is to come."""

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding a frame's content raises that is not what it should be, though its checksum is right."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Update:
    """One microbatch that a learner takes.

    Attributes
    ----------
    version
        Version of the parameters after it.
    learner
        ``microbatch`` or ``online``; :data:`NOBODY` before there is one.
    runs
        Its events, as runs of one partition each, in order; see :meth:`consumers.track.Track.runs`.
    positions
        For every partition seen so far, the next event to take after it.
    checksum
        Of its events, see :meth:`consumers.track.Track.checksum`; None where schema version 1 left it out.
    skip
        Whether the events are passed over without learning from them.
    lesson
        What a teacher said of them: see :mod:`service.learning.lessons`; empty where nobody said anything.
    effort
        Level of the effort that they are learned with: see :mod:`models.effort`. Full where a former version wrote it.
    """

    version: int
    learner: str
    runs: Sequence[Run]
    positions: Positions
    checksum: int | None = None
    skip: bool = False
    lesson: bytes = b""
    effort: int = FULL.level


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided and does not follow from state and log alone.

    Decisions made at the version of a checkpoint, before it was captured or after, may be replayed upon it: applying
    one twice must come to the same.

    Attributes
    ----------
    kind
        ``log``, ``task``, ``classes``, ``recipe`` (see :mod:`service.restart.noted`), ``fallback``, ``return``,
        ``renumber``, ``timeout`` or ``rollback`` (see :mod:`service.restart.history`), ``pause`` or ``resume`` (see
        :mod:`service.operating.operated`).
    version
        Version that was current when it was made; for one that makes a new version, that one.
    data
        What was decided; whole numbers of at most 64 bits.
    """

    kind: str
    version: int
    data: Json


Entry = Update | Decision


class Header(msgspec.Struct, frozen=True):
    """First frame of a file.

    Attributes
    ----------
    schema
        Version of the format.
    epoch, base
        Epoch of the owner that wrote the file, and the version that its first entry follows.
    follows
        Version of the checkpoint upon which the history up to here was built.
    boot
        Boot of the machine it was written in; empty where unknown.
    reserved
        Highest version reserved when it was written.
    chain
        The files before this one, oldest first, and how many bytes of each belong to the history.
    """

    schema: int
    epoch: int
    base: int
    follows: int
    boot: str
    reserved: int
    chain: list[tuple[str, int]]


def file_name(epoch: int, base: int) -> str:
    """Return the name of a file."""
    return f"{epoch:06d}-{base:012d}.journal"


def reservation_name(epoch: int) -> str:
    """Return the name of the file that keeps the highest reserved version of an epoch."""
    return f"{epoch:06d}.reserved"


def epoch_of(name: str) -> int:
    """Return the epoch of a journal file or reservation by its name."""
    return int(name.partition("-")[0].partition(".")[0])


def base_of(name: str) -> int:
    """Return the base version of a journal file by its name."""
    return int(Path(name).stem.partition("-")[2])


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return journal files by epoch, then base version."""
    return sorted(paths, key=lambda path: (epoch_of(path.name), base_of(path.name)))


def frame(content: bytes) -> bytes:
    """Return `content` as a frame."""
    return _FRAME.pack(len(content), zlib.crc32(content, len(content))) + content


def frames(data: memoryview) -> Iterator[tuple[memoryview, int]]:
    """Yield the content of each frame and the offset after it, up to the first that is not whole."""
    start = 0
    while start + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, start)
        content = data[start + _FRAME.size : start + _FRAME.size + length]
        if length == 0 or len(content) < length or zlib.crc32(content, length) != checksum:
            return
        start += _FRAME.size + length
        yield content, start


def encode_header(header: Header) -> bytes:
    """Return the frame of a header."""
    return frame(_encode(header))


def schema_of(content: memoryview) -> int:
    """Return the schema version in a header's frame, whatever else is in it; raises what :data:`UNREADABLE` names."""
    return msgspec.msgpack.decode(content, type=_AnyHeader).schema


def decode_header(content: memoryview) -> Header:
    """Return the header in a frame's content; raises what :data:`UNREADABLE` names where it is another version's."""
    return msgspec.msgpack.decode(content, type=Header)


def encode_entry(entry: Entry) -> bytes:
    """Return the frame of an entry."""
    if isinstance(entry, Update):
        positions = {partition: tuple(position) for partition, position in entry.positions.items()}
        fields = (_UPDATE, entry.version, entry.learner, entry.runs, positions, entry.skip, entry.checksum)
        if entry.effort:
            return frame(_encode((*fields, entry.lesson, entry.effort)))
        return frame(_encode((*fields, entry.lesson) if entry.lesson else fields))
    return frame(_encode((_DECISION, entry.version, entry.kind, entry.data)))


def encode_number(number: int) -> bytes:
    """Return a reservation file's content."""
    return frame(_encode(number))


def decode_number(data: bytes) -> int | None:
    """Return the number in a reservation file's content; None where it cannot be read."""
    for content, _ in frames(memoryview(data)):
        try:
            return msgspec.msgpack.decode(content, type=int)
        except UNREADABLE:
            return None
    return None


CLOSED = frame(_encode((_CLOSED,)))
"""Frame that ends a journal of which nothing can have been lost."""


def decode_entry(content: memoryview) -> Entry | None:
    """Return the entry in a frame's content; None for the mark of a journal that was closed.

    Raises what :data:`UNREADABLE` names where it is no entry.
    """
    fields = _decode(content)
    if fields == [_CLOSED]:
        return None
    if type(fields) is list and fields[:1] == [_DECISION]:
        decision = msgspec.convert(fields, _DecisionFields)
        return Decision(decision.kind, decision.version, decision.data)
    update = msgspec.convert(fields, _UpdateFields)
    return Update(
        update.version,
        update.learner,
        update.runs,
        update.positions,
        update.checksum,
        update.skip,
        update.lesson,
        effort_of(update.effort).level,
    )


class _AnyHeader(msgspec.Struct):
    schema: int


class _UpdateFields(NamedTuple):
    entry: Literal[1]
    version: int
    learner: str
    runs: list[Run]
    positions: dict[int, Position]
    skip: bool
    checksum: int | None = None  # entries of former versions have none
    lesson: bytes = b""
    effort: int = FULL.level


class _DecisionFields(NamedTuple):
    entry: Literal[2]
    version: int
    kind: str
    data: dict[str, Any]
