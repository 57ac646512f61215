"""The models that were added, as they are kept: a file each in ``data_dir/added-models``, there whole or not at all.

A file is written beside its place and renamed, so that a change is there or not, whatever dies in between; servers and
trainers read the folder, which may be on a volume that they cannot write to. Whoever changes something holds a lock.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from service.config import name_problem
from service.durability.files import Files
from service.durability.ownership import read_own
from service.errors import StorageFailed

_PATIENCE = 5.0
"""Seconds that the lock is waited for: whoever has it needs milliseconds."""

_PAUSE = 0.02

_SUFFIX = ".json"

_log = structlog.get_logger("headrace.models")


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is no more, and what is still to be done about what it has learned.

    Attributes
    ----------
    aside
        Name of the folder that it goes to, among those of what was learned before (``aside``).
    keep
        Whether it stays there.
    """

    aside: str
    keep: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model that was added, or one that was removed and is not cleared away yet.

    Attributes
    ----------
    settings
        Those that were given, as ``models.NAME`` in the configuration has them.
    revision
        Other settings have another one.
    changed_at
        Unix seconds.
    changed_by
        Name of the key; empty where none was asked for.
    removal
        None while the model is there.
    """

    settings: dict[str, Any]
    revision: str
    changed_at: float
    changed_by: str = ""
    removal: Removal | None = None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Entry)


class Entries:
    """The files. May be shared by threads and processes.

    Parameters
    ----------
    data_dir
        Where everything durable is.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "added-models"
        self._told: dict[str, str] = {}

    def read(self) -> Mapping[str, Entry]:
        """Return all by name; those that cannot be read are left out, and the operator hears of it once.

        Raises
        ------
        StorageFailed
            The folder cannot be read.
        """
        try:
            paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            raise StorageFailed(f"{self._folder} cannot be read ({error.strerror}); check permissions") from error
        found = {path.name.removesuffix(_SUFFIX): self._read(path) for path in paths}
        return {name: entry for name, entry in found.items() if entry is not None}

    def get(self, name: str) -> Entry | None:
        """Return the one of this name; None where there is none, or none that can be read."""
        # A name that no model can have may be a way out of the folder.
        return None if name_problem(name) else self._read(self._folder / f"{name}{_SUFFIX}")

    def changed(self) -> int:
        """Return a number that is another one after a change: the time of the folder's, as fine as its clock is."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Keep all others from changing anything meanwhile.

        Raises
        ------
        StorageFailed
            The folder cannot be written to, or somebody else is at it and does not end.
        """
        Files().make_folder(self._folder)
        try:
            descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(f"{self._folder} cannot be written to ({error.strerror}); check permissions") from error
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def write(self, name: str, entry: Entry) -> None:
        """Keep an entry, durably; for whoever is :meth:`changing`.

        Raises
        ------
        StorageFailed, DurabilityLost
        """
        Files().write(self._folder / f"{name}{_SUFFIX}", [_encode(entry)])

    def remove(self, name: str) -> None:
        """Forget an entry, durably; for whoever is :meth:`changing`.

        Raises
        ------
        StorageFailed, DurabilityLost
        """
        Files().remove(self._folder / f"{name}{_SUFFIX}")
        Files().sync_folder(self._folder)

    def _read(self, path: Path) -> Entry | None:
        try:
            return _decoder.decode(read_own(path))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if self._told.get(path.name) != str(error):
                _log.error("an added model cannot be read, and is left out", file=str(path), reason=str(error))
            self._told[path.name] = str(error)
            return None

    def _lock(self, descriptor: int) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise StorageFailed(f"somebody else changes models in {self._folder}; try again") from None
                time.sleep(_PAUSE)
            else:
                return
