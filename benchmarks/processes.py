"""What processes take of their machine, as Linux tells it, and what they said last: for those that are measured."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")

_OF_MEMORY = {"Rss": "rss", "Pss": "pss", "Private_Clean": "uss", "Private_Dirty": "uss"}


@dataclass(frozen=True)
class Usage:
    """What one process takes at one moment.

    Attributes
    ----------
    pid
        Process id.
    rss, pss, uss
        KiB of memory: resident; resident, with what is shared divided by those who share it; resident and its own.
    descriptors
        Open file descriptors.
    """

    pid: int
    rss: int
    pss: int
    uss: int
    descriptors: int


def usages(root: int) -> dict[str, Usage]:
    """Return role → usage for the process `root` and all below it; those that end meanwhile are left out."""
    found: dict[str, Usage] = {}
    for pid in descendants(root):
        try:
            found[_free_name(_role(pid), found)] = _usage(pid)
        except (OSError, ValueError):
            continue
    return found


def descendants(root: int) -> Iterator[int]:
    """Yield `root`, its children, theirs, and so on, in the order of their making."""
    yield root
    children: list[int] = []
    try:
        for thread in (_PROC / str(root) / "task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    except OSError:
        return
    for child in sorted(children):
        yield from descendants(child)


def _usage(pid: int) -> Usage:
    memory = dict.fromkeys(("rss", "pss", "uss"), 0)
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        if name in _OF_MEMORY:
            memory[_OF_MEMORY[name]] += int(value.split()[0])
    return Usage(pid, **memory, descriptors=len(list((_PROC / str(pid) / "fd").iterdir())))


def _role(pid: int) -> str:
    """Return what a process is for: the name of its command, or of the program that the trainer starts."""
    arguments = (_PROC / str(pid) / "cmdline").read_text().split("\0")
    if "service.cli" in arguments:
        return arguments[arguments.index("service.cli") + 1]
    if any("ingest_process" in argument for argument in arguments):
        return "reading"
    return Path(arguments[0]).name or "unnamed"


def _free_name(role: str, taken: dict[str, Usage]) -> str:
    """Return `role`, numbered where several processes have the same."""
    same = sum(name == role or name.startswith(f"{role} ") for name in taken)
    return f"{role} {same + 1}" if same else role


def processor_seconds(root: int) -> float:
    """Return the processor time that the process `root` and all below it have taken; what ended before is left out."""
    return sum(map(_processor_seconds, descendants(root)))


def resident_mib(root: int) -> float:
    """Return the memory in MiB that the process `root` and all below it have resident, each on its own."""
    return sum(map(_resident_pages, descendants(root))) * os.sysconf("SC_PAGE_SIZE") / 2**20


def last_words(output: str) -> str:
    """Return the last line that a program wrote, shortened; of a traceback without the module of its exception."""
    lines = output.strip().splitlines()
    name, colon, message = (lines[-1] if lines else "").partition(": ")
    return f"{name.rpartition('.')[2]}{colon}{message}"[:200]


def _processor_seconds(pid: int) -> float:
    try:
        # The name, which may hold anything, ends with the last parenthesis; utime and stime of proc(5) are the 12th
        # and 13th field after it.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_pages(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return 0
