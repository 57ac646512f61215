"""The file of API keys: one line a key, which holds a name, roles, and a digest from which the key cannot be had back.

::

    # name   roles            digest
    shop     predict,ingest   sha256$6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090

A key is 32 random bytes. Nobody can try out 2²⁵⁶ of them, however fast the digest is, so it need not be one of the slow
ones that passwords need; and a fast one costs a request next to nothing. On the path this stands beside the server: a
command writes the file, ``keys.py`` reads it again and again.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from service.durability.files import Files
from service.errors import KeysInvalid

Role = Literal["predict", "ingest", "operate"]

ROLES: tuple[Role, ...] = get_args(Role)
"""What a key may open: asking for predictions, sending events, operating models."""

_ALGORITHM = "sha256"
_PREFIX = "headrace_"
"""So that a key which got somewhere by mistake is recognised for what it is, by people and by scanners."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(rf"{_ALGORITHM}\$[0-9a-f]{{64}}")
_HEAD = "# Keys of Headrace's API: name, roles, digest. `headrace keys` writes it.\n"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the file has it.

    Attributes
    ----------
    name
        Whose it is; stands in logs.
    roles
        What it opens.
    digest
        SHA-256 of the key.
    """

    name: str
    roles: frozenset[Role]
    digest: bytes

    def line(self) -> str:
        """Return the line that stands for it."""
        roles = ",".join(role for role in ROLES if role in self.roles)
        return f"{self.name} {roles} {_ALGORITHM}${self.digest.hex()}\n"


@dataclass(frozen=True, slots=True)
class KeysFile:
    """What a file holds: keys, and what is wrong with it.

    Attributes
    ----------
    keys
        Those whose lines are right.
    faults
        One sentence for each line that is not, and for permissions that are too wide; they never quote a line, which
        could hold a key that somebody wrote there by mistake.
    """

    keys: tuple[ApiKey, ...]
    faults: tuple[str, ...]


def new_key() -> str:
    """Return a key that nobody has."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(key: bytes) -> bytes:
    """Return what the file keeps of a key."""
    return hashlib.sha256(key).digest()


def read_keys(path: Path) -> KeysFile:
    """Return what the file at `path` holds.

    Raises
    ------
    KeysInvalid
        It cannot be read, or everybody may write to it, so that its keys could be anybody's.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeysInvalid(
            f"{path}: there is no such file; `headrace keys add NAME --role predict --file {path}` makes it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeysInvalid(f"{path}: cannot be read: {reason}") from None
    if mode & stat.S_IWOTH:
        raise KeysInvalid(f"{path}: everybody may write to it, and so add a key: chmod 600 {path}")
    return _parse(text, path, mode)


def add_key(path: Path, name: str, roles: Sequence[Role]) -> str:
    """Add a key to the file, which is made where there is none; return the key, which is kept nowhere.

    Raises
    ------
    KeysInvalid
        The name is taken or none that can be used, there are no roles, or the file is damaged.
    """
    if not _NAME.fullmatch(name):
        raise KeysInvalid(f"a key cannot be named {name[:100]!r}: names are 1 to 64 of letters, digits, . _ - and @")
    if not roles:
        raise KeysInvalid(f"say what the key may open: --role {', --role '.join(ROLES)}")
    key = new_key()

    def added(keys: Sequence[ApiKey]) -> Sequence[ApiKey]:
        if any(each.name == name for each in keys):
            raise KeysInvalid(f"there is a key named {name} already; remove it first, or take another name")
        return [*keys, ApiKey(name, frozenset(roles), digest_of(key.encode()))]

    _change(path, added)
    return key


def remove_key(path: Path, name: str) -> None:
    """Remove a key from the file; servers refuse it within seconds.

    Raises
    ------
    KeysInvalid
        There is no key of that name, or the file is damaged.
    """

    def removed(keys: Sequence[ApiKey]) -> Sequence[ApiKey]:
        if all(each.name != name for each in keys):
            known = ", ".join(each.name for each in keys)
            raise KeysInvalid(f"there is no key named {name[:100]!r} in {path}; there is {known or 'none at all'}")
        return [each for each in keys if each.name != name]

    _change(path, removed)


def _parse(text: str, path: Path, mode: int) -> KeysFile:
    keys: dict[str, ApiKey] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        key = _key_of(words)
        if isinstance(key, str):
            faults.append(f"{path}, line {number}: {key}; the line counts for nothing")
        elif key.name in keys:
            faults.append(f"{path}, line {number}: the name stands there twice; the line counts for nothing")
        else:
            keys[key.name] = key
    if mode & (stat.S_IWGRP | stat.S_IROTH):
        faults.append(f"{path}: more may read or write it than need to: chmod 600 {path}")
    return KeysFile(tuple(keys.values()), tuple(faults))


def _key_of(words: Sequence[str]) -> ApiKey | str:
    """Return the key that a line's words mean, or what is wrong with them."""
    if len(words) != 3:
        return f"must be a name, roles parted by commas, and {_ALGORITHM}$ with 64 hexadecimal digits"
    name, listed, digest = words
    roles = frozenset(role for role in ROLES if role in listed.split(","))
    if not _NAME.fullmatch(name):
        return "the name must be 1 to 64 of letters, digits, . _ - and @"
    if len(roles) != len(set(listed.split(","))):
        return f"roles are {', '.join(ROLES)}, parted by commas"
    if not _DIGEST.fullmatch(digest):
        return f"the digest must be {_ALGORITHM}$ with 64 hexadecimal digits (never the key itself)"
    return ApiKey(name, roles, bytes.fromhex(digest.partition("$")[2]))


def _change(path: Path, change: Callable[[Sequence[ApiKey]], Sequence[ApiKey]]) -> None:
    """Write the file anew, in one step, with nobody else changing it meanwhile."""
    files = _PrivateFiles()
    files.make_folder(path.absolute().parent)
    with _alone(path.absolute().parent):
        known = read_keys(path) if path.exists() else KeysFile((), ())
        damaged = [fault for fault in known.faults if ", line " in fault]
        if damaged:
            # Writing it anew would lose what the line was meant to be.
            raise KeysInvalid("; ".join(damaged) + ": put it right first")
        lines = [_HEAD, *(key.line() for key in change(known.keys))]
        files.write(path.absolute(), [line.encode() for line in lines])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other commands out of `folder` for a moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class _PrivateFiles(Files):
    """Writes files that nobody but their owner may read."""

    def create(self, path: Path) -> int:
        """Open an empty file that belongs to its owner alone."""
        path.unlink(missing_ok=True)  # an old one would keep its permissions
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
