"""The guard at start-up: `consumers` and `models` must be the packages beside `service`, not somebody else's.

The names are common, so a folder on ``PYTHONPATH`` or the current directory may hold others (ADR 1). The guard looks
without importing: not a line of a stranger's code runs.
"""

from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from service.errors import PackagesShadowed

PACKAGES = ("consumers", "models")


def check_packages(beside: Path | None = None) -> None:
    """Refuse to go on where `consumers` or `models` would be imported from anywhere but beside `service`.

    Parameters
    ----------
    beside
        The folder in which they must be; None for the one that holds this very package.

    Raises
    ------
    PackagesShadowed
        The message names the path that is in the way.
    """
    home = beside or Path(__file__).resolve().parent.parent
    for package in PACKAGES:
        # Not importlib.util.find_spec: it would answer from what is imported already, the guard's own tests included.
        found = _location(PathFinder.find_spec(package))
        expected = home / package
        if found is None:
            raise PackagesShadowed(
                f"the package {package} is missing beside {home / 'service'}: this installation of headrace is "
                "incomplete; install it again"
            )
        if found != expected.resolve():
            raise PackagesShadowed(
                f"{found} is in the way of headrace's own {expected}: run headrace from another folder, take that path "
                "out of PYTHONPATH, or give headrace an environment of its own"
            )


def _location(spec: ModuleSpec | None) -> Path | None:
    """Return the folder of a package, or the file of a module; None where there is none."""
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
