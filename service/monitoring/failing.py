"""What a trainer leaves behind that cannot go on: its last status, with the reason among the errors.

Else nobody would see more of it than that no trainer reports: its log may be in another container, or on no screen at
all where the model was added over HTTP.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from service.monitoring.status import ErrorStatus, Status, read_status, write_status

_KEPT = 10


def note_failure(path: Path, model: str, epoch: int, identity: str, error: Exception) -> None:
    """Write down why a trainer ends; for the owner of the model only.

    Parameters
    ----------
    path
        Of the model's status.
    model, epoch, identity
        Whose status it is.
    error
        The reason.
    """
    now = time.time()
    last = read_status(path)
    if last is None or last.of_model != identity:
        last = Status(model=model, epoch=epoch, pid=os.getpid(), written_at=now, of_model=identity, state="stopped")
    reason = ErrorStatus(at=now, message=str(error) or type(error).__name__)
    left = msgspec.structs.replace(last, state="stopped", written_at=now, errors=[*last.errors, reason][-_KEPT:])
    # Where the folder cannot be written to, that may be the very reason.
    with contextlib.suppress(OSError):
        write_status(path, left)
