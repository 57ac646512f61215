"""The keys that open the API now: read from their file, and read again when it changes.

On the path it stands before every route. A request's key is compared with all that there are, in constant time. A key
that was taken out of the file is refused within :data:`LOOK_EVERY` seconds, in each process of the server.
"""

import hmac
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from service.errors import KeysInvalid
from service.security.keys_file import ApiKey, digest_of, read_keys

LOOK_EVERY = 1.0
"""Seconds between two looks at the file."""

_LONGEST_KEY = 512
"""Bytes; anything longer is no key of ours, and need not be digested."""

_log = structlog.get_logger("headrace.security")


class KeyRing:
    """The keys of one file. Belongs to the event loop.

    Parameters
    ----------
    path
        The file.
    clock
        Monotonic seconds.

    Raises
    ------
    KeysInvalid
        The file cannot be used. Later on that is logged instead, and no key opens anything until it is put right:
        whoever takes the file away means to shut everybody out.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._keys: Sequence[ApiKey] = ()
        self._seen = self._fingerprint()
        self._look_again = clock() + LOOK_EVERY
        self._read()
        if not self._keys:
            _log.warning("the file of keys holds none, so nobody can call the API", file=str(path))

    def find(self, presented: bytes) -> ApiKey | None:
        """Return the key that was presented; None where it is none of ours."""
        now = self._clock()
        if now >= self._look_again:
            self._look_again = now + LOOK_EVERY
            self._look()
        if len(presented) > _LONGEST_KEY:
            return None
        digest = digest_of(presented)
        found = None
        # To the end, whichever it is: how long it takes must not tell how near a guess was.
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _look(self) -> None:
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._read()
        except KeysInvalid as error:
            self._keys = ()
            _log.error("no key opens the API until the file of keys is put right", reason=str(error))
        else:
            _log.info("read the changed file of keys", file=str(self._path), keys=len(self._keys))

    def _read(self) -> None:
        found = read_keys(self._path)
        for fault in found.faults:
            _log.warning("something is wrong with the file of keys", fault=fault)
        self._keys = found.keys

    def _fingerprint(self) -> tuple[int, ...]:
        """Return what is different when the file is."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
