"""Files that decide what this process does are read only where nobody else could have written them.

What River's learner hands to servers and keeps in checkpoints is a pickle, and unpickling runs whatever code it names.
So the folders of the service are private, and whatever is read from them is looked at first: it must belong to the
user that this process runs as, or to root, and not be writable by everybody. Checksums tell damage, this tells who.
"""

import os
import stat
from pathlib import Path

from service.errors import ConfigurationInvalid

PRIVATE = 0o700
"""Mode of the folder of publications: ``/dev/shm`` is open to everybody, and names in it can be guessed."""


def stranger(status: os.stat_result) -> str | None:
    """Return why a file or folder cannot be trusted; None where it can.

    A group may write to it: volumes of containers are handed over that way, and who is in a group is the operator's
    to decide.
    """
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}"
    if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
        return "can be written to by everybody"
    return None


def read_own(path: Path) -> bytes:
    """Return the content of a file that nobody else can have written.

    Raises
    ------
    PermissionError
        Somebody else can.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        reason = stranger(os.fstat(file.fileno()))
        if reason is not None:
            raise PermissionError(0, f"it {reason}")
        return file.read()


def make_private(folder: Path) -> None:
    """Make a folder that only this process's user can look into; one that is there must not be a stranger's.

    Raises
    ------
    ConfigurationInvalid
        It is.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError:
        # A server may have been given no right to write; where there is nothing, there is nothing to trust.
        return
    reason = stranger(folder.lstat())
    if reason is not None:
        raise ConfigurationInvalid(
            f"publish_dir: {folder} {reason}; whoever writes there decides what this process runs: remove it, or set "
            "publish_dir to a folder of this user's own"
        )
