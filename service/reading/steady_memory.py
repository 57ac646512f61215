"""What a program that takes in large pieces for months asks of the allocator, lest it grows with its busiest minute.

After a broker was away, pieces of megabytes pile up and go. The C library then takes such pieces from its heap, where
small things that live longer come to lie behind them, so that their memory is never given back: on a topic of 40,000
events/s and a broker that was restarted every five minutes, a reading program grew from 86 to 100 MiB within an hour.
"""

import contextlib
import ctypes
import sys

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of mallopt(3), in glibc's malloc.h

LARGE = 128 * 1024
"""Bytes from which a piece is a mapping of its own and goes back at once; by itself glibc moves that up to 32 MiB."""

ARENAS = 2
"""Heaps for threads to allocate from at once; by default there are eight for each core, each with holes of its own."""


def keep_memory_steady() -> None:
    """Have the C library give memory back; where it is not glibc, do nothing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_ARENA_MAX, ARENAS)
