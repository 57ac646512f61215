"""Who owns a model's directory: one trainer at a time, told by an epoch that only grows.

A claim is the creation of the file ``lease/<epoch>``, which one process alone can do. The owner renews it by changing
a counter in it; a stand-by that sees the counter stand still for ``lease_seconds``, by its own clock, claims the next
epoch, and does so at once where it can tell that the owner has ended. A lock on a file would not do: a stopped process
holds it for ever.

Nothing keeps a former owner from running on, so it must look before it lets anything out: for every update, append to
the journal, then :meth:`Lease.check`, then publish (and only then capture a checkpoint). A new owner claims first and
reads the journal after, so whatever a former owner may still publish is in what the new owner read, and is reproduced
under the same version number.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from service.durability.files import Files
from service.durability.machine import Process
from service.errors import OwnershipLost

_KEPT = 16  # claims that stay in the folder, for people to look at
_RECORD_SIZE = 512  # a constant size, so that renewing a claim never needs room on the disk
_BEATS_PER_LEASE = 5


class Lease:
    """A claim that is held and renewed by a thread of its own. Made by :meth:`acquire`.

    Attributes
    ----------
    epoch
        Its number; greater than that of any claim before it.
    """

    def __init__(self, folder: Path, epoch: int, descriptor: int, lease_seconds: float) -> None:
        self.epoch = epoch
        self._own = os.fspath(_path(folder, epoch))
        self._next = os.fspath(_path(folder, epoch + 1))
        self._descriptor = descriptor
        self._released = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(lease_seconds / _BEATS_PER_LEASE,), name=f"lease-{epoch}", daemon=True
        )
        self._heart.start()

    @classmethod
    def acquire(
        cls,
        folder: Path,
        *,
        lease_seconds: float,
        at_least: int = 1,
        stop: threading.Event | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> "Lease | None":
        """Become the owner; while another one lives, stand by.

        Parameters
        ----------
        folder
            Where claims are kept; made where it is missing.
        lease_seconds
            How long an owner may seem lifeless before it is taken over. Owner and stand-by must agree on it.
        at_least
            Lowest epoch to claim: above what an earlier life of the model, or one that was not restored, has left
            elsewhere.
        stop
            Setting it ends the waiting.
        on_wait
            Called with one line for people each time that this process starts to wait for an owner.

        Returns
        -------
        Lease or None
            None where `stop` was set before this process became the owner.
        """
        stop = stop or threading.Event()
        Files().make_folder(folder)
        watch = _Watch(folder, lease_seconds)
        told = 0
        while not stop.is_set():
            newest = _newest(folder)
            if newest == 0 or watch.is_free(newest):
                descriptor = _claim(folder, newest + 1)
                if descriptor is not None and newest + 1 < at_least:
                    # Not at once: a former owner looks for the claim that follows its own.
                    os.close(descriptor)
                    newest, descriptor = at_least - 1, _claim(folder, at_least)
                if descriptor is not None:
                    return cls(folder, newest + 1, descriptor, lease_seconds)
                continue
            if told != newest and on_wait is not None:
                on_wait(f"standing by: epoch {newest} is held by {watch.owner}")
            told = newest
            stop.wait(watch.interval)
        return None

    def check(self) -> None:
        """Return if this process still is the owner. Costs a few microseconds: call it before letting anything out.

        Raises
        ------
        OwnershipLost
        """
        # In this order: claims are cleared away from the oldest on, so where the next one was, this one goes first.
        if os.path.exists(self._next) or not os.path.exists(self._own):  # noqa: PTH110 -- a Path costs twice as much
            raise OwnershipLost(
                f"another trainer took over from epoch {self.epoch}; this one must stop (it may stand by again)"
            )
        if self._released.is_set():
            raise OwnershipLost(f"epoch {self.epoch} was released by this process")

    def release(self) -> None:
        """Give ownership up, so that a stand-by need not wait. Releasing twice is harmless."""
        if self._released.is_set():
            return
        self._released.set()
        self._heart.join()
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _record(beat=-1, released=True), 0)
        os.close(self._descriptor)

    def _beat(self, interval: float) -> None:
        beat = 0
        while not self._released.wait(interval):
            beat += 1
            # A disk that refuses for a moment is tried again; one that refuses for long costs the ownership.
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _record(beat), 0)


class Unowned:
    """In the place of a lease, for whoever only reads a model: it may let nothing out.

    Attributes
    ----------
    epoch
        None that a trainer ever has.
    """

    epoch = 0

    def check(self) -> None:
        """Raise :class:`~service.errors.OwnershipLost`."""
        raise OwnershipLost("this program only reads the model: it does not own it")

    def release(self) -> None:
        """Do nothing: nothing was claimed."""


class _Watch:
    """What a stand-by knows of the newest claim: whether its counter still moves."""

    def __init__(self, folder: Path, lease_seconds: float) -> None:
        self.interval = min(0.2, lease_seconds / 20)
        self.owner = "an unknown process"
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._seen: tuple[int, bytes] | None = None
        self._still = 0.0
        self._looked = 0.0

    def is_free(self, epoch: int) -> bool:
        """Return whether the claim `epoch` was released, or its owner ended or has stood still for too long."""
        try:
            content = _path(self._folder, epoch).read_bytes()
        except OSError:
            return False  # cleared away just now: there is a newer one
        claim = _parse(content)
        if claim is not None:
            owner, released = claim
            self.owner = f"process {owner.pid} on {owner.host}"
            if released or owner.is_gone():
                return True
        return self._stands_still(epoch, content)

    def _stands_still(self, epoch: int, content: bytes) -> bool:
        now = time.monotonic()
        if self._seen == (epoch, content):
            # Capped: time in which this process itself was stopped says nothing about the owner.
            self._still += min(now - self._looked, 4 * self.interval)
        else:
            self._seen, self._still = (epoch, content), 0.0
        self._looked = now
        return self._still >= self._lease_seconds


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch:06d}"


def _epochs(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def _newest(folder: Path) -> int:
    return max(_epochs(folder), default=0)


def _record(beat: int = 0, *, released: bool = False) -> bytes:
    claim = {"beat": beat, "released": released, "process": asdict(Process.current())}
    return json.dumps(claim).encode().ljust(_RECORD_SIZE - 1) + b"\n"


def _parse(content: bytes) -> tuple[Process, bool] | None:
    """Return a claim's process and whether it was released; None for one that is not written out (yet)."""
    try:
        claim = json.loads(content)
        return Process(**claim["process"]), bool(claim["released"])
    except (ValueError, TypeError, KeyError):
        return None


def _claim(folder: Path, epoch: int) -> int | None:
    """Claim `epoch` and return the open claim; None where another process was faster."""
    path = _path(folder, epoch)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    os.pwrite(descriptor, _record(), 0)
    files = Files()
    files.sync(descriptor, path)
    files.sync_folder(folder)
    if _newest(folder) != epoch:  # this process slept on an old listing, and the number had been cleared away
        os.close(descriptor)
        path.unlink()
        return None
    for old in _epochs(folder)[:-_KEPT]:
        with contextlib.suppress(FileNotFoundError):
            _path(folder, old).unlink()
    return descriptor
