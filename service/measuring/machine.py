"""Where something was measured: a figure means little without it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """A machine, and what runs on it.

    Attributes
    ----------
    processor, cores, memory_gib, system, python
        The machine.
    libraries
        Name → version.
    """

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    libraries: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it in a line."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gib} GiB, {self.system}, Python {self.python}, "
            f"{libraries}"
        )


def this_machine(libraries: Sequence[str]) -> Machine:
    """Return a description of this machine and of these libraries."""
    return Machine(
        _processor(),
        os.cpu_count() or 0,
        round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        f"{platform.system()} {platform.machine()}",
        platform.python_version(),
        {name: _version(name) for name in libraries},
    )


def load() -> float:
    """Return how many processes wanted a core over the last minute; 0 where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
