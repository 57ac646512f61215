"""Names that were given to checkpoints: one small file each; what has a name is never removed to make room.

Only the owner of a model gives and takes names, by a command (``service/operating/pinning.py``).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from service.durability.files import Files
from service.durability.ownership import read_own
from service.errors import CheckpointInvalid

NAME = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
"""What a name may be: never only digits, so that it is not taken for a version."""

NAME_RULE = "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with one of the first two, with a letter among them"


@dataclass(frozen=True, slots=True)
class Pin:
    """A name, and what it stands for.

    Attributes
    ----------
    name, version
        The name, and the version of the checkpoint that it keeps.
    pinned_at, caller
        When that was ordered, in Unix seconds, and by whom.
    number, table
        The command that gave it: a trainer that meets it again has done it.
    """

    name: str
    version: int
    pinned_at: float
    caller: str
    number: int
    table: str


class Pins:
    """The names of one model's checkpoints.

    Parameters
    ----------
    folder
        Where they are; made at the first one.
    files
        The steps of writing.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def list(self) -> Sequence[Pin]:
        """Return all of them, by name.

        Raises
        ------
        CheckpointInvalid
            One cannot be read.
        """
        return [_decode(path) for path in sorted(self._folder.glob("*.json"))]

    def find(self, name: str) -> Pin | None:
        """Return the one called `name`; None where there is none."""
        path = self._path(name)
        return _decode(path) if path.exists() else None

    def put(self, pin: Pin) -> None:
        """Write a name down; it may have stood for another checkpoint. Durable when this returns.

        Raises
        ------
        StorageFailed, DurabilityLost
        """
        self._files.make_folder(self._folder)
        self._files.write(self._path(pin.name), [json.dumps(asdict(pin)).encode()])

    def remove(self, name: str) -> None:
        """Take a name away; it may be gone already."""
        if self._path(name).exists():
            self._files.remove(self._path(name))
            self._files.sync_folder(self._folder)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _decode(path: Path) -> Pin:
    try:
        return msgspec.json.decode(read_own(path), type=Pin)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CheckpointInvalid(
            f"{path}, which gives a checkpoint its name, cannot be read ({error}): give it anew, or take it away"
        ) from error
