"""The journal: what happened since the checkpoint, so that a restart does exactly the same again.

Before an update is published, its boundaries (version, runs of events, positions) are appended here, and so is every
decision that does not follow from state and log alone. A restart loads a checkpoint, reads the entries after it
(:func:`read_journal`) and learns the same microbatches again.

There is one file for each epoch and base version. The header of each lists the files before it and how many bytes of
each belong to the history: what a former owner appends after a new owner has read is no part of it. An append is one
``write``, so it survives the process; :meth:`Journal.sync`, for a background thread, makes it survive the machine.

Where the end of the journal may be lost, with the power or to damage, the version numbers in it must not be used again:
so they are reserved on disk, in blocks, before they are used, and numbering resumes above the block.
"""

import contextlib
import os
import threading
from pathlib import Path

from service.durability.files import Files
from service.durability.journal_format import (
    CLOSED,
    SCHEMA,
    Decision,
    Entry,
    Header,
    Update,
    base_of,
    encode_entry,
    encode_header,
    encode_number,
    epoch_of,
    file_name,
    reservation_name,
)
from service.durability.journal_reading import RESERVED_BLOCK, JournalTail, read_journal
from service.durability.machine import boot_id
from service.errors import StorageFailed

__all__ = ["RESERVED_BLOCK", "Decision", "Entry", "Journal", "JournalTail", "Update", "read_journal"]


class Journal:
    """Appends entries. `append` and `rotate` belong to the learning thread; `sync` and `prune` may run in any.

    Parameters
    ----------
    folder
        Where the files are; made where it is missing.
    epoch
        Of this process's lease.
    base_version
        Version that the first entry follows: ``tail.resume_version``.
    tail
        What :func:`read_journal` returned after this epoch was claimed.
    files
        The steps of writing; tests make them fail.

    Raises
    ------
    StorageFailed, DurabilityLost
    """

    def __init__(
        self, folder: Path, epoch: int, base_version: int, tail: JournalTail, files: Files | None = None
    ) -> None:
        self._folder = folder
        self._epoch = epoch
        self._files = files or Files()
        self._lock = threading.Lock()  # guards the open file; held for microseconds
        self._reserving = threading.Lock()
        self._syncing = threading.Lock()
        self._reserved = tail.reserved
        self._version = base_version
        self._chain = list(tail.chain)
        self._retired: list[tuple[int, Path]] = []
        self._named = False  # whether the open file's name is on disk
        self._lost = False  # whether an fsync failed: the next one may say yes to what is gone
        self._files.make_folder(folder)
        self._reserve(base_version + RESERVED_BLOCK)
        self._open(base_version, tail.follows)
        self.sync()

    def append(self, *entries: Entry) -> None:
        """Append `entries`, all or none of them; when this returns they survive this process.

        Raises
        ------
        StorageFailed
            Nothing was appended; trying again later is safe.
        """
        version = entries[-1].version
        if version > self._reserved:
            self._reserve(version + RESERVED_BLOCK)
        frames = b"".join(encode_entry(entry) for entry in entries)
        with self._lock:
            self._write(frames)
        self._version = version

    def sync(self) -> None:
        """Make everything appended so far survive the machine, and reserve versions ahead of their use.

        Raises
        ------
        StorageFailed, DurabilityLost
        """
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, []
            named, self._named = self._named, True
            current = (os.dup(self._descriptor), self._path)
        self._lost = True  # until all of it is known to be kept
        for descriptor, path in [*retired, current]:
            try:
                self._files.sync(descriptor, path)
            finally:
                os.close(descriptor)
        if not named:
            self._files.sync_folder(self._folder)
        self._lost = False
        if self._version + RESERVED_BLOCK // 2 > self._reserved:
            self._reserve(self._version + RESERVED_BLOCK)

    def rotate(self, base_version: int) -> None:
        """Go on in a new file; to be called when a checkpoint of `base_version` is captured, before further appends.

        Raises
        ------
        StorageFailed
            The journal goes on in the file it has.
        """
        if base_version == base_of(self._path.name):
            return
        with self._lock:
            retired = (self._descriptor, self._path)
            self._chain.append((self._path.name, self._size))
            try:
                self._open(base_version, base_version)
            except StorageFailed:
                self._chain.pop()
                raise
            self._retired.append(retired)

    def prune(self, before_version: int) -> None:
        """Remove the files that no checkpoint of version `before_version` or later needs.

        Raises
        ------
        StorageFailed
        """
        with self._lock:
            names = [*(name for name, _ in self._chain), self._path.name]
            needed = max((index for index, name in enumerate(names) if base_of(name) <= before_version), default=0)
            while needed and base_of(names[needed - 1]) == base_of(names[needed]):
                needed -= 1  # decisions may stand in several files of one base version
            del self._chain[:needed]
        keep, surplus = set(names[needed:]), names[:needed]
        # What former owners wrote after their time is in no chain. A file of this epoch may be one begun just now.
        strays = (path.name for path in self._folder.glob("*.journal") if epoch_of(path.name) < self._epoch)
        for name in [*surplus, *(name for name in strays if name not in keep)]:
            self._files.remove(self._folder / name)

    def close(self) -> None:
        """Mark the journal as complete, make it durable and let it go; no mark where the disk lost some of it."""
        try:
            if not self._lost:
                with self._lock:
                    self._write(CLOSED)
                self.sync()
        finally:
            os.close(self._descriptor)

    def _open(self, base_version: int, follows: int) -> None:
        """Begin the file that follows those in the chain."""
        header = Header(SCHEMA, self._epoch, base_version, follows, boot_id(), self._reserved, self._chain)
        path = self._folder / file_name(self._epoch, base_version)
        content = encode_header(header)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(f"cannot begin the journal file {path}: {error.strerror}") from error
        try:
            self._files.append(descriptor, content)
        except OSError as error:
            os.close(descriptor)
            path.unlink()
            raise StorageFailed(f"cannot write {path}: {error.strerror}; check free space there") from error
        self._descriptor, self._path, self._size, self._named = descriptor, path, len(content), False

    def _write(self, frame: bytes) -> None:
        """Write `frame` whole or not at all."""
        try:
            written = os.write(self._descriptor, frame)
            while written < len(frame):
                written += os.write(self._descriptor, frame[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise StorageFailed(f"cannot append to {self._path}: {error.strerror}; check free space there") from error
        self._size += len(frame)

    def _reserve(self, version: int) -> None:
        """Reserve version numbers up to `version`, durably."""
        with self._reserving:
            if version <= self._reserved:
                return
            path = self._folder / reservation_name(self._epoch)
            self._files.write(path, [encode_number(version)])
            self._reserved = version
            for old in self._folder.glob("*.reserved*"):
                if epoch_of(old.name) < self._epoch:
                    self._files.remove(old)
