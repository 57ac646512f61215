"""Claiming a model: for as long as it is trained, or for the length of a command, while no trainer owns it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.config import Settings
from service.durability.lease import Lease
from service.errors import ModelOwned
from service.publishing.publication_layout import newest_epoch
from service.wiring import model_paths

_GRACE = 1.5
"""Leases that are waited for: an owner that was killed in another container looks alive for one of them."""


def claim(settings: Settings, name: str, stop: threading.Event, on_wait: Callable[[str], None]) -> Lease | None:
    """Become the owner of the model `name`; see :meth:`service.durability.lease.Lease.acquire`."""
    paths = model_paths(settings, name)
    return Lease.acquire(
        paths.lease,
        lease_seconds=settings.train.lease_seconds,
        # Where the model's folder was moved away or restored, what is still published is of no owner that it knows.
        at_least=newest_epoch(paths.publication) + 1,
        stop=stop,
        on_wait=on_wait,
    )


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
        lease = claim(settings, name, stop, told.append)
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
