"""Which machine, which boot of it, and which process: what ownership and durability have to be judged by.

A process number alone says little: it is reused, and it means something only within one boot of one machine and one
container. Where the system keeps no ``/proc``, parts of this are unknown, and nothing is concluded from them.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_PROC = Path("/proc")


@cache
def boot_id() -> str:
    """Return what names this boot of this machine; empty where the system does not say."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Return the name of the set of process numbers that this process lives in; containers have their own."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when process `pid` started, in ticks since the boot; None where no such process runs any more."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold spaces and brackets itself. A zombie (Z) or dead (X) process runs no more.
    after_name = fields[fields.rindex(")") + 1 :].split()
    return None if after_name[0] in "ZX" else after_name[19]


@dataclass(frozen=True, slots=True)
class Process:
    """One process, so named that nothing else is ever taken for it.

    Attributes
    ----------
    host, boot, namespace
        Host name, boot, and namespace of process numbers; the latter two are empty where unknown.
    pid
        Process number.
    started
        Ticks from the boot to its start; tells it from a later process with the same number.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Self:
        """Return the calling process."""
        pid = os.getpid()
        return cls(socket.gethostname(), boot_id(), _namespace(), pid, _started(pid) or "")

    def is_gone(self) -> bool:
        """Return whether this process has certainly ended; False where that cannot be known from here."""
        here = type(self).current()
        if not (self.boot and self.namespace and self.started):
            return False
        if (self.host, self.boot, self.namespace) != (here.host, here.boot, here.namespace):
            return False
        return _started(self.pid) != self.started
