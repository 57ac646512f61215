"""The file through which parameters go from the trainer to the servers: where everything in it is.

``epoch-000001/layout-000001`` holds parameters of one shape: a head, a description (the ``spec`` and where each array
is), and three slots or more. Each slot holds one version: its generation, a JSON header, and the arrays. The writer
makes a slot's generation odd, writes, and makes it even again; a reader that finds the same even generation before and
after it computed has computed over one version. No lock is shared, and readers write nothing.

Two of the slots are steady: they are written in turn and not too often, so that what is in the newer one stays for a
while. It is what slow readers read.
"""

import contextlib
import json
import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from models.learner import Array, Json
from service.durability.machine import boot_id
from service.durability.ownership import stranger
from service.errors import PublicationMissing

MAGIC = int.from_bytes(b"headrace", "big")  # in the machine's own byte order, so that another's is not taken for ours
SCHEMA = 1
WORD_MAGIC, WORD_SCHEMA, WORD_SUPERSEDED, WORD_CURRENT, WORD_STEADY, WORD_SIZE, WORD_CHECKSUM = range(7)
WORD_GENERATION, WORD_HEADER = range(2)  # of a slot
HEAD = 64  # bytes of words at the beginning of the file and of each slot
_ALIGNMENT = 64  # a cache line; more than any type needs
_PAGE = 4096


class Description(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes
    ----------
    epoch, number
        Of the owner, and of the file among its files.
    boot
        Boot of the machine: what was not on disk when the power went may be anything afterwards.
    spec
        The learner's ``spec``, as JSON.
    arrays
        Name, dtype, shape, and offset within a slot.
    slots, slot_size, first_slot, header_size
        How many, bytes of each, offset of the first, and room for the JSON header in each.
    of_model
        Identity of the model (:mod:`service.durability.model_identity`), whatever is called by its name by now.
    """

    epoch: int
    number: int
    boot: str
    spec: str
    arrays: list[tuple[str, str, list[int], int]]
    slots: int
    slot_size: int
    first_slot: int
    header_size: int
    of_model: str = ""


def describe(
    epoch: int,
    number: int,
    spec: Json,
    arrays: Mapping[str, Array],
    *,
    slots: int,
    header_size: int,
    of_model: str = "",
) -> Description:
    """Return where everything goes in a file for arrays like `arrays`."""
    placed = []
    offset = _round_up(HEAD + header_size, _ALIGNMENT)
    for name, array in arrays.items():
        placed.append((name, array.dtype.str, list(array.shape), offset))
        offset = _round_up(offset + array.nbytes, _ALIGNMENT)
    text = json.dumps(spec)
    # The names are in the description too; twice their size is room enough, whatever the encoding.
    room = HEAD + 2 * len(text.encode()) + sum(2 * len(name.encode()) + 256 for name in arrays) + _PAGE
    slot_size, first_slot = _round_up(offset, _PAGE), _round_up(room, _PAGE)
    return Description(epoch, number, boot_id(), text, placed, slots, slot_size, first_slot, header_size, of_model)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of a mapped file.

    Attributes
    ----------
    words
        Its generation and the length of its header.
    header
        Room for the JSON header.
    arrays
        Views of the arrays; read-only where the file was opened for reading.
    """

    words: memoryview
    header: memoryview
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file, mapped.

    Attributes
    ----------
    path
        Where it was when it was opened.
    identity
        Device and inode: the file itself, whatever its name.
    words
        The head.
    slots
        All slots.
    description
        What the file says of itself.
    """

    path: Path
    identity: tuple[int, int]
    words: memoryview
    slots: Sequence[Slot]
    description: Description

    @classmethod
    def create(cls, path: Path, description: Description) -> Self:
        """Make a file of zeros with `description` in it.

        Raises
        ------
        OSError
            There is no room: found out now, because later it would be a fatal signal.
        """
        size = description.first_slot + description.slots * description.slot_size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _allocate(descriptor, size)
            mapped = mmap.mmap(descriptor, size)
            identity = _identity(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        content = msgspec.msgpack.encode(description)
        mapped[HEAD : HEAD + len(content)] = content
        words = memoryview(mapped)[:HEAD].cast("Q")
        words[WORD_SCHEMA], words[WORD_SIZE], words[WORD_CHECKSUM] = SCHEMA, len(content), zlib.crc32(content)
        words[WORD_MAGIC] = MAGIC
        return cls(path, identity, words, _slots(mapped, description), description)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Map a file for reading; None where it is gone, or is no whole publication of this machine and boot.

        Raises
        ------
        PublicationMissing
            Somebody else can have written it.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            reason = stranger(status)
            if reason is not None:
                raise PublicationMissing(f"{path} is not served: it {reason}; remove it")
            if status.st_size < HEAD:
                return None
            mapped = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        words = memoryview(mapped)[:HEAD].cast("Q")
        content = mapped[HEAD : HEAD + words[WORD_SIZE]] if words[WORD_MAGIC] == MAGIC else b""
        if words[WORD_SCHEMA] != SCHEMA or zlib.crc32(content) != words[WORD_CHECKSUM]:
            return None
        try:
            description = msgspec.msgpack.decode(content, type=Description)
            if description.boot != boot_id():
                return None
            return cls(path, _identity(status), words, _slots(mapped, description), description)
        # What is in it is not what a trainer wrote: types, shapes and places that do not fit to each other.
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    @property
    def superseded(self) -> bool:
        """Whether there is a newer file to go to."""
        return bool(self.words[WORD_SUPERSEDED])

    def is_at(self, path: Path) -> bool:
        """Return whether this very file is what lies at `path`."""
        try:
            return _identity(path.stat()) == self.identity
        except OSError:
            return False


def supersede(path: Path) -> None:
    """Tell the readers of the file at `path` to look for a newer one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, (1).to_bytes(8, "little"), WORD_SUPERSEDED * 8)
    finally:
        os.close(descriptor)


def files_newest_first(folder: Path) -> list[Path]:
    """Return a model's publication files, the highest epoch's newest first."""
    found: list[Path] = []
    for epoch in folder.glob("epoch-*"):
        # A trainer may clear its predecessors' folders away while one looks.
        with contextlib.suppress(FileNotFoundError):
            found += epoch.glob("layout-[0-9]*")
    return sorted(found, key=_epoch_and_number, reverse=True)


def epoch_of(path: Path) -> int:
    """Return the epoch of the owner that a publication file is of."""
    return int(path.parent.name.partition("-")[2])


def newest_epoch(folder: Path) -> int:
    """Return the highest epoch that a model's publications are of; 0 where there is none."""
    return max(map(epoch_of, files_newest_first(folder)), default=0)


def file_path(folder: Path, epoch: int, number: int) -> Path:
    """Return where a file belongs."""
    return folder / f"epoch-{epoch:06d}" / f"layout-{number:06d}"


def _epoch_and_number(path: Path) -> tuple[int, int]:
    return epoch_of(path), int(path.name.partition("-")[2])


def _slots(mapped: mmap.mmap, description: Description) -> list[Slot]:
    whole = memoryview(mapped)
    starts = [description.first_slot + index * description.slot_size for index in range(description.slots)]
    return [_slot(whole[start : start + description.slot_size], description) for start in starts]


def _slot(memory: memoryview, description: Description) -> Slot:
    arrays = {}
    for name, dtype, shape, offset in description.arrays:
        count = int(np.prod(shape, dtype=np.int64))
        # An array of no elements has no place of its own; any memory will do.
        buffer = memory if count else memory[:0]
        array = np.frombuffer(buffer, dtype, count, offset) if count else np.empty(0, dtype)
        arrays[name] = array.reshape(shape)
    return Slot(memory[:HEAD].cast("Q"), memory[HEAD : HEAD + description.header_size], arrays)


def _allocate(descriptor: int, size: int) -> None:
    """Give a file its blocks."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(1 << 20)
    while size > 0:
        size -= os.write(descriptor, zeros[:size])


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
