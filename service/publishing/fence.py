"""A memory fence, for the two sides of a memory-mapped file that share no lock.

A writer that stores data and then a flag, and a reader that loads the flag and then the data, rely on that order. x86
keeps it by itself. ARM does not, and Python has no fence of its own, so one is borrowed from the system's libraries.
"""

import contextlib
import ctypes
import platform
import threading
from collections.abc import Callable
from typing import cast

_SEQUENTIALLY_CONSISTENT = 5  # C11's memory_order_seq_cst
_lock = threading.Lock()


def _no_fence() -> None:
    """Do nothing: the processor keeps the order."""


def _lock_fence() -> None:
    """Take and release a lock: not a fence by the letter, but the strongest order that pure Python can ask for."""
    with _lock:
        pass


def find_fence(machine: str, system: str) -> Callable[[], None]:
    """Return a full memory fence for a processor and an operating system, as ``platform`` names them."""
    if machine in ("x86_64", "AMD64"):
        return _no_fence
    with contextlib.suppress(OSError, AttributeError):
        if system == "Darwin":
            barrier = ctypes.CDLL(None).OSMemoryBarrier
            barrier.restype = None
            return cast("Callable[[], None]", barrier)
        atomic_fence = ctypes.CDLL("libatomic.so.1").atomic_thread_fence
        atomic_fence.restype = None
        return lambda: atomic_fence(_SEQUENTIALLY_CONSISTENT)
    return _lock_fence


fence = find_fence(platform.machine(), platform.system())
"""Whatever was stored or loaded before the call comes before whatever is stored or loaded after it."""
