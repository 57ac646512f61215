"""The lock says exactly what pyproject.toml asks for, so that ``make env`` needs no resolver and no luck."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.sources import PACKAGES, ROOT, SOURCES, imports_of

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Parts of FastAPI's interface: it hands out their objects and promises their versions.
COMES_WITH = {"starlette": "fastapi", "anyio": "fastapi", "httptools": "uvicorn"}
ASKED = [
    Requirement(text)
    for group in (
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        PROJECT["dependency-groups"]["build"],
        PROJECT["dependency-groups"]["dev"],
        PROJECT["build-system"]["requires"],
    )
    for text in group
    if isinstance(text, str)  # not the inclusion of another group
]
ASKED_AT_RUN_TIME = [
    Requirement(text)
    for group in (PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values())
    for text in group
]


def read_lock() -> dict[str, list[str]]:
    """Return the lock's entries: canonical name → each entry's text, hashes included."""
    entries: dict[str, list[str]] = {}
    for text in re.split(r"^(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE):
        if text.strip():
            entries.setdefault(canonicalize_name(text.partition("==")[0]), []).append(text)
    return entries


def pins_of(entry: str) -> Requirement:
    """Return the requirement that opens an entry."""
    return Requirement(entry.partition("\\")[0].strip())


def chosen(entries: list[str], python: str) -> Version | None:
    """Return the version that the lock pins for `python` on Linux, the platform of the containers."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    for entry in entries:
        pin = pins_of(entry)
        if pin.marker is None or pin.marker.evaluate({key: str(value) for key, value in environment.items()}):
            return Version(next(iter(pin.specifier)).version)
    return None


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_satisfies_the_project(python: str) -> None:
    """Somebody changed pyproject.toml without ``make lock``: what CI tests is not what a user gets."""
    lock = read_lock()
    unmet = []
    for asked in ASKED:
        pinned = chosen(lock.get(canonicalize_name(asked.name), []), python)
        if pinned is None or pinned not in asked.specifier:
            unmet.append(f"{asked} (locked: {pinned})")
    assert unmet == [], "run `make lock`"


def test_every_locked_package_has_hashes() -> None:
    """A package could be replaced by another of the same name and version."""
    entries = [entry for entries in read_lock().values() for entry in entries]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert len(entries) > len(ASKED)


def test_extras_that_the_reader_cannot_do_without_are_asked_for() -> None:
    """Reading would be four times slower (crc32c), or stop for good at a compressed message (the codecs)."""
    kafka = next(asked for asked in ASKED if asked.name == "kafka-python")
    assert kafka.extras >= {"crc32c", "lz4", "snappy", "zstd"}
    assert {"crc32c", "lz4", "python-snappy", "zstandard"} <= read_lock().keys()


def test_what_runs_here_is_what_the_lock_pins() -> None:
    """The tests would pass on other versions than the ones that users get."""
    lock = read_lock()
    for asked in ASKED:
        pinned = {next(iter(pins_of(entry).specifier)).version for entry in lock[canonicalize_name(asked.name)]}
        # A build for a device ("+cpu") has the same code under a local version.
        assert version(asked.name).partition("+")[0] in pinned, asked.name


def test_everything_imported_is_asked_for() -> None:
    """A package that comes along today, because another one needs it, would be missing tomorrow."""
    distributions = packages_distributions()
    asked = {canonicalize_name(requirement.name) for requirement in ASKED_AT_RUN_TIME}
    imported = {name for path in SOURCES for name in imports_of(path)}
    foreign = imported - set(sys.stdlib_module_names) - set(PACKAGES)
    unasked = {name for name in foreign if not {canonicalize_name(each) for each in distributions[name]} & asked}
    assert unasked <= COMES_WITH.keys(), unasked
