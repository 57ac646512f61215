"""Files that are there whole or not at all, whatever happens in between.

Everything durable is written by these steps: a temporary file beside the place, ``fsync``, rename, ``fsync`` of the
folder. Each step is a method, so that a test can fail at any one of them.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.errors import DurabilityLost, StorageFailed

Buffer = bytes | bytearray | memoryview


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn an error of the system into one that says what to look at."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageFailed(f"cannot {action} {path}: {reason}; check free space and permissions there") from error


class Files:
    """The steps of writing durably.

    Every method raises :class:`StorageFailed` where the system refuses, and leaves what was there before;
    :class:`DurabilityLost` where an ``fsync`` fails, after which nothing that was written can be relied on.
    """

    def write(self, path: Path, parts: Iterable[Buffer]) -> None:
        """Write `parts`, one after the other, as the file at `path`; when this returns it is on disk under its name."""
        temporary = path.with_name(f"{path.name}.tmp")
        try:
            with _explained("write", path):
                self._fill(temporary, parts)
                self.rename(temporary, path)
        except StorageFailed:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self.sync_folder(path.parent)

    def _fill(self, temporary: Path, parts: Iterable[Buffer]) -> None:
        descriptor = self.create(temporary)
        try:
            for part in parts:
                self.append(descriptor, part)
            self.sync(descriptor, temporary)
        finally:
            os.close(descriptor)

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it, durably; it may be there already."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        with _explained("make the folder", path):
            path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file; it may be gone already."""
        with _explained("remove", path):
            path.unlink(missing_ok=True)

    def create(self, path: Path) -> int:
        """Open an empty file for writing and return its descriptor; an old one is emptied."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def append(self, descriptor: int, part: Buffer) -> None:
        """Write all of `part`."""
        rest = memoryview(part).cast("B")
        while len(rest):
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int, path: Path) -> None:
        """Wait until everything written to `descriptor` is on disk."""
        try:
            if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone stops at the drive's cache
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            else:
                os.fsync(descriptor)
        except OSError as error:
            # Not tried again: the kernel may have dropped the pages and would then report success.
            raise DurabilityLost(f"{path} could not be made durable ({error.strerror}); check the disk") from error

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target` in one step."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in `folder` are on disk."""
        with _explained("open the folder", folder):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
                raise DurabilityLost(f"{folder} is not durable ({error.strerror}); check the disk") from error
        finally:
            os.close(descriptor)
