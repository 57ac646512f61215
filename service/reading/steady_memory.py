"""What programs that take in large pieces for months ask of the allocator: one gives them back, the other keeps them.

A reading program must not grow with its busiest minute. After a broker was away, pieces of megabytes pile up and go.
The C library then takes such pieces from its heap, where small things that live longer come to lie behind them, so that
their memory is never given back: on a topic of 40,000 events/s and a broker that was restarted every five minutes, a
reading program grew from 86 to 100 MiB within an hour.

A trainer takes the same large pieces for each update, one after the other. Memory that goes back to the system between
two of them comes again page by page, each a fault: up to a quarter of what an update of 16,384 rows took.
"""

import contextlib
import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3), in glibc's malloc.h

LARGE = 128 * 1024
"""Bytes from which a piece is a mapping of its own and goes back at once; by itself glibc moves that up to 32 MiB."""

ARENAS = 2
"""Heaps for threads to allocate from at once; by default there are eight for each core, each with holes of its own."""

KEPT_PIECE, KEPT = 32 * 1024 * 1024, 64 * 1024 * 1024
"""Bytes of a piece up to which a trainer takes it from its heap (glibc's own most), and that its heap keeps unused."""


def keep_memory_steady() -> None:
    """Have the C library give large pieces back; where it is not glibc, do nothing."""
    _set({_MMAP_THRESHOLD: LARGE, _ARENA_MAX: ARENAS})


def keep_memory_at_hand() -> None:
    """Have the C library keep large pieces for the next of their size; where it is not glibc, do nothing."""
    _set({_MMAP_THRESHOLD: KEPT_PIECE, _TRIM_THRESHOLD: KEPT})


def _set(options: dict[int, int]) -> None:
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in options.items():
            mallopt(option, value)
