"""How much memory a process took for its work: what it held at most, less what it held before and less code."""

import contextlib
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryHeld:
    """Bytes that a process holds.

    Attributes
    ----------
    peak
        The most that was ever in memory.
    files
        Of what is in memory now, pages that are shared with files; such as code, which is read when it is first called.
    """

    peak: int
    files: int


def memory_held() -> MemoryHeld | None:
    """Return what this process holds; None where the system does not tell."""
    # Kibibytes, but bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with contextlib.suppress(OSError):
        _, _, shared = Path("/proc/self/statm").read_text().split()[:3]
        return MemoryHeld(peak, int(shared) * os.sysconf("SC_PAGE_SIZE"))
    return None


def growth(before: MemoryHeld | None, after: MemoryHeld | None) -> int | None:
    """Return by how many bytes the peak grew, without those of files; None where that cannot be told."""
    if before is None or after is None:
        return None
    return max(0, after.peak - before.peak - (after.files - before.files))
