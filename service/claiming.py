"""Owning a model for the length of a command, which is possible only while no trainer owns it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.config import Settings
from service.errors import ModelOwned
from service.lease import Lease
from service.wiring import model_paths

_GRACE = 1.5
"""Leases that are waited for: an owner that was killed in another container looks alive for one of them."""


@contextmanager
def claimed(settings: Settings, name: str) -> Iterator[Lease]:
    """Own the model `name`.

    Raises
    ------
    ModelOwned
        A trainer owns it, and lives.
    """
    stop, told = threading.Event(), ["another trainer owns it"]
    timer = threading.Timer(settings.train.lease_seconds * _GRACE, stop.set)
    timer.daemon = True
    timer.start()
    try:
        lease = Lease.acquire(
            model_paths(settings, name).lease,
            lease_seconds=settings.train.lease_seconds,
            stop=stop,
            on_wait=told.append,
        )
    finally:
        timer.cancel()
    if lease is None:
        reason = told[-1].removeprefix("standing by: ")
        raise ModelOwned(
            f"{name} is being trained ({reason}): stop its trainer first, and its standbys, then try again"
        )
    try:
        yield lease
    finally:
        lease.release()
