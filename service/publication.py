"""Publishing: the trainer's side of handing parameters over, at every update, without ever waiting for a server.

See :mod:`service.publishing.publication_layout` for the file and :mod:`service.publishing.subscription` for the
servers' side.

A former owner that wakes up may still publish what it had in hand. It does so where no server looks: it touches no file
of a later epoch, and servers take the latest epoch's.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from models.learner import Json, Published
from service.errors import StorageFailed
from service.publishing.fence import fence
from service.publishing.publication_changes import Changes
from service.publishing.publication_layout import (
    WORD_CURRENT,
    WORD_GENERATION,
    WORD_HEADER,
    WORD_STEADY,
    MappedFile,
    describe,
    epoch_of,
    file_path,
    files_newest_first,
    supersede,
)

_GRACE = 10.0  # seconds that an old file stays for a reader that is about to open it
_LOOK = 1.0  # seconds between two looks at whether the file is still where it was put
_HOLD = 0.025  # seconds, at least, that what is in a steady slot stays there
_HOLD_WRITES = 4  # ... and at least as long as it takes to write a whole slot so often
_HEADER_ROOM = 1024
_STEADY = 2  # steady slots, the last ones of the file

_encode = msgspec.json.Encoder().encode


class Publisher:
    """Publishes one model's parameters. Owned by the learning thread.

    Parameters
    ----------
    folder
        The model's folder for publications; made where it is missing.
    epoch
        Of this process's lease. Check the lease before each publication.
    of_model
        The model's identity, which tells it from another one that had its name.
    slots
        Versions that the file has room for; 3 at least, 4 let readers of the newest version be slower.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        epoch: int,
        slots: int = 4,
        clock: Callable[[], float] = time.monotonic,
        *,
        of_model: str = "",
    ) -> None:
        if slots < 3:
            raise ValueError(f"a publication needs 3 slots or more, not {slots}")
        self._folder = folder
        self._epoch = epoch
        self._slots = slots
        self._of_model = of_model
        self._clock = clock
        self._shapes: list[tuple[str, Any, Any]] = []
        self._spec: Json | None = None
        self._file: MappedFile | None = None
        self._look_at = self._clear_at = 0.0

    def publish(self, published: Published, header: Json) -> None:
        """Make `published` what servers answer from.

        Parameters
        ----------
        published
            What to publish; copied before this returns.
        header
            Goes with every answer: ``model``, ``version``, ``learner``, ``published_at`` (seconds since the epoch),
            ``restored_from``.

        Raises
        ------
        StorageFailed
            There is no room for a new file; what was published before goes on being served.
        """
        now = self._clock()
        text = _encode(header)
        shapes = [(name, array.dtype, array.shape) for name, array in published.arrays.items()]
        if (
            self._file is None
            or published.spec is not self._spec
            or shapes != self._shapes
            or self._unusable(text, now)
        ):
            self._file = self._begin(published, text, now)
            self._spec, self._shapes = published.spec, shapes
            return
        self._changes.note(published.changed)
        slot = self._choose(now)
        self._write(self._file, slot, published, text)

    def _unusable(self, text: bytes, now: float) -> bool:
        """Return whether the file cannot be published to any more."""
        file = self._file
        assert file is not None  # noqa: S101 -- asked only of a file that is there
        if len(text) > file.description.header_size or file.superseded:
            return True
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK
        if self._clear_at <= now:
            self._clear(file.path)
            self._clear_at = float("inf")
        return not file.is_at(file.path)  # somebody cleared the folder

    def _begin(self, published: Published, text: bytes, now: float) -> MappedFile:
        """Publish into a new file, put it in its place, and send the readers of all others to it."""
        numbers = [int(path.name.partition("-")[2]) for path in files_newest_first(self._folder)]
        number = max(numbers, default=0) + 1
        path = file_path(self._folder, self._epoch, number)
        room = max(_HEADER_ROOM, 2 * len(text))
        description = describe(
            self._epoch,
            number,
            published.spec,
            published.arrays,
            slots=self._slots,
            header_size=room,
            of_model=self._of_model,
        )
        temporary = path.with_name(f"new-{number:06d}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = MappedFile.create(temporary, description)
            self._changes = Changes(published.arrays)
            self._written = [-1] * self._slots
            self._changes.note(None)
            started = self._clock()
            steady = self._slots - 1
            self._write(file, steady, published, text)
            self._hold = max(_HOLD, _HOLD_WRITES * (self._clock() - started))
            self._steady, self._fast, self._steady_at = steady, 0, now
            temporary.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            size = description.slots * description.slot_size >> 20
            raise StorageFailed(
                f"cannot publish to {path} ({error.strerror}): it takes {size + 1} MiB; make room there or set "
                "publish_dir to where there is some"
            ) from error
        self._supersede_others(path)
        self._look_at, self._clear_at = now + _LOOK, now + _GRACE
        return MappedFile(path, file.identity, file.words, file.slots, description)

    def _supersede_others(self, own: Path) -> None:
        """Send the readers of earlier files to this one, and keep only the newest of these for now."""
        others = [path for path in files_newest_first(self._folder) if path != own and epoch_of(path) <= self._epoch]
        for position, path in enumerate(others):
            with contextlib.suppress(OSError):
                supersede(path)
                if position > 0:
                    path.unlink()

    def _choose(self, now: float) -> int:
        """Return the slot to write: a steady one when its turn has come, else one of the others."""
        if now - self._steady_at >= self._hold:
            first = self._slots - _STEADY
            self._steady = first + (self._steady - first + 1) % _STEADY
            self._steady_at = now
            return self._steady
        self._fast = (self._fast + 1) % (self._slots - _STEADY)
        return self._fast

    def _write(self, file: MappedFile, index: int, published: Published, text: bytes) -> None:
        """Write one slot, then point readers to it."""
        slot = file.slots[index]
        words = slot.words
        if file.words[WORD_CURRENT] == index:  # only where there is but one slot that is not steady
            file.words[WORD_CURRENT] = file.words[WORD_STEADY]
        words[WORD_GENERATION] += 1 + words[WORD_GENERATION] % 2  # odd already where writing was interrupted before
        fence()
        self._changes.copy(published.arrays, slot.arrays, self._written[index])
        slot.header[: len(text)] = text
        words[WORD_HEADER] = len(text)
        fence()
        words[WORD_GENERATION] += 1
        fence()
        file.words[WORD_CURRENT] = index
        if index >= self._slots - _STEADY:
            file.words[WORD_STEADY] = index
        self._written[index] = self._changes.number

    def _clear(self, own: Path) -> None:
        """Remove the files that nobody is sent to any more."""
        for folder in self._folder.glob("epoch-*"):
            # Another trainer, a former one that wakes up, may clear away at the same moment.
            with contextlib.suppress(FileNotFoundError):
                for path in folder.iterdir():
                    if path != own and epoch_of(path) <= self._epoch:
                        path.unlink(missing_ok=True)
            if folder != own.parent:
                with contextlib.suppress(OSError):
                    folder.rmdir()
