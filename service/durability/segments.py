"""Segments: files of arrays under the name of their own content and of a series, written once and never changed.

Checkpoints of one series share the files whose content they have in common; the next series writes them anew. So a file
that rots on the disk takes a few checkpoints with it, and not all of them.

The format is safetensors. It is written here rather than by its library, from the arrays' own memory, because hashing
and writing then let other threads run: a checkpoint must not stop the thread that learns.
"""

import hashlib
import json
import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeGuard

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from models.learner import Array
from service.durability.files import Files
from service.durability.ownership import read_own
from service.errors import CheckpointInvalid

_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}

LASTING = 100  # series after which what never changes is written anew all the same: see the module


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of arrays.

    Attributes
    ----------
    path
        Relative to the folder of segments.
    sha256
        Of the whole file, in hexadecimal; the file's name begins with it.
    size
        Bytes.
    """

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class _Constant:
    """Arrays that cannot be written to, known again by identity, and where they were saved.

    Attributes
    ----------
    key
        Their identities, of no meaning once one of them is gone.
    arrays
        The arrays, not kept alive by this.
    epoch, generation
        Of whom, and since when, they may be relied on.
    segment
        None before they are saved.
    """

    key: tuple[int, ...]
    arrays: tuple[weakref.ref[Array], ...]
    epoch: int
    generation: int
    segment: Segment | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, Array], epoch: int, generation: int) -> Self | None:
        """Return arrays that nobody can write to; None for others."""
        if any(array.flags.writeable for array in arrays.values()):
            return None
        found = list(arrays.values())
        return cls(tuple(map(id, found)), tuple(map(weakref.ref, found)), epoch, generation)

    def is_alive(self) -> bool:
        """Return whether all arrays are still there."""
        return all(array() is not None for array in self.arrays)

    def same(self, other: Self) -> bool:
        """Return whether another's arrays are these, to be relied on as long."""
        mine = (self.epoch, self.generation, [array() for array in self.arrays])
        others = (other.epoch, other.generation, [array() for array in other.arrays])
        return mine[:2] == others[:2] and all(one is each for one, each in zip(mine[2], others[2], strict=True))


class SegmentStore:
    """Writes and reads segments.

    Each epoch writes into a folder of its own, and an owner removes only what is of its own epoch or an older one: so a
    former owner, still running, cannot remove what a later one relies on.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._constant: dict[tuple[int, ...], _Constant] = {}

    def save(self, arrays: Mapping[str, Array], epoch: int, series: int) -> Segment:
        """Write `arrays` unless the series has a file with this very content; durable when this returns.

        Arrays that cannot be written to are taken for what they were when they were saved last: they are neither read
        nor written again, but for every so many series.

        Raises
        ------
        CheckpointInvalid
            An array's type cannot be kept.
        StorageFailed, DurabilityLost
        """
        constant = _Constant.of(arrays, epoch, series // LASTING)
        if constant is not None:
            known = self._constant.get(constant.key)
            if known is not None and known.same(constant) and self._is_there(known.segment):
                return known.segment
        parts = list(_serialized(arrays))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        name = digest.hexdigest()
        segment = Segment(f"{epoch:06d}/{name}-{series}.safetensors", name, sum(part.nbytes for part in parts))
        if not self._is_there(segment):
            path = self._folder / segment.path
            self._files.make_folder(path.parent)
            self._files.write(path, parts)
        if constant is not None:
            self._constant = {key: each for key, each in self._constant.items() if each.is_alive()}
            self._constant[constant.key] = replace(constant, segment=segment)
        return segment

    def _is_there(self, segment: Segment | None) -> TypeGuard[Segment]:
        """Return whether a segment's file is there as long as it should be."""
        if segment is None:
            return False
        path = self._folder / segment.path
        return path.exists() and path.stat().st_size == segment.size

    def load(self, segment: Segment) -> dict[str, Array]:
        """Return a segment's arrays, which are the caller's own.

        Raises
        ------
        CheckpointInvalid
            The file is missing, truncated or altered.
        """
        path = self._folder / segment.path
        try:
            content = read_own(path)
        except OSError as error:
            raise CheckpointInvalid(f"{path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != segment.sha256:
            raise CheckpointInvalid(f"{path} is not what was written: its checksum differs")
        try:
            return {name: array.copy() for name, array in load(content).items()}
        except SafetensorError as error:
            raise CheckpointInvalid(f"{path} is not readable as safetensors: {error}") from error

    def clear(self, keep: set[str], epoch: int) -> None:
        """Remove what is of `epoch` or older and not in `keep`, unfinished files included."""
        for folder in self._folder.glob("[0-9]*"):
            if int(folder.name) > epoch:
                continue
            for path in folder.iterdir():
                if f"{folder.name}/{path.name}" not in keep:
                    self._files.remove(path)
            if int(folder.name) < epoch and not any(folder.iterdir()):
                folder.rmdir()


def _serialized(arrays: Mapping[str, Array]) -> Iterator[memoryview]:
    """Yield a safetensors file in parts; the same arrays always give the same bytes."""
    header: dict[str, object] = {}
    parts: list[memoryview] = []
    offset = 0
    # The widest types first, as the library does it, so that each array is aligned to its type.
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        if array.dtype.name not in _NAMES or array.dtype.byteorder == ">":
            raise CheckpointInvalid(f"the array {name} has type {array.dtype}, which a checkpoint cannot hold")
        size = math.prod(array.shape) * array.dtype.itemsize
        offsets = [offset, offset + size]
        header[name] = {"dtype": _NAMES[array.dtype.name], "shape": array.shape, "data_offsets": offsets}
        if size:
            parts.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    yield memoryview(len(text).to_bytes(8, "little") + text)
    yield from parts
