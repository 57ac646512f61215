"""Reading the journal back after a start: the history after a checkpoint, and whether its end may be missing.

The newest file of the newest epoch says in its header which files, and how many bytes of each, came before it. What is
not in that chain was written by a former owner after its time, and is ignored. The first byte that cannot be read ends
the history: nothing after it could be applied.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.durability.journal_format import (
    SCHEMA,
    UNREADABLE,
    Entry,
    Header,
    base_of,
    decode_entry,
    decode_header,
    decode_number,
    frames,
    in_order,
    schema_of,
)
from service.durability.machine import boot_id
from service.errors import JournalInvalid

RESERVED_BLOCK = 10_000
"""Version numbers that are reserved at a time."""
_SETTLE = 0.01  # seconds in which a write that has begun is over
_FAR = 100 * RESERVED_BLOCK  # added where even the reservation cannot be read


@dataclass(frozen=True, slots=True)
class JournalTail:
    """What the journal holds after a checkpoint.

    Attributes
    ----------
    entries
        To be applied in order.
    last_version
        Highest version that was given out; the checkpoint's where none was given after it.
    reserved
        Highest version that may ever have been published.
    tail_lost
        Whether entries may be missing at the end: the machine was restarted, or the journal is damaged.
    problems
        What is damaged or missing, for the log.
    chain
        Files of the history and how many bytes of each were read.
    follows
        Version of the checkpoint that was asked for.
    """

    entries: Sequence[Entry]
    last_version: int
    reserved: int
    tail_lost: bool
    problems: Sequence[str]
    chain: Sequence[tuple[str, int]]
    follows: int

    @property
    def resume_version(self) -> int:
        """Version to count on from once the entries are applied: the next update gets the one after it."""
        return max(self.last_version, self.reserved) if self.tail_lost else self.last_version


def read_journal(folder: Path, after_version: int) -> JournalTail:
    """Return what happened after the checkpoint of version `after_version`.

    To be called after the epoch was claimed, so that nothing is published that it does not see.

    Parameters
    ----------
    folder
        The journal's; need not exist.
    after_version
        The checkpoint's version; a negative number where there is none.

    Raises
    ------
    JournalInvalid
        A file was written by a newer version of Headrace.
    """
    history = _History(folder, after_version)
    header = history.newest_header()
    if header is not None:
        history.read(header)
    # The newest file's base counts too: where numbering skipped ahead, it may be above any entry.
    bases = [] if header is None else [header.base]
    last = max([after_version, 0, *bases, *(entry.version for entry in history.entries)])
    reserved = history.reserved(header, last)
    lost = bool(history.problems)
    return JournalTail(history.entries, last, reserved, lost, history.problems, history.chain, after_version)


@dataclass(slots=True)
class _History:
    """The history as far as it is read."""

    folder: Path
    after: int
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    chain: list[tuple[str, int]] = field(default_factory=list)
    newest: str = ""

    def newest_header(self) -> Header | None:
        """Find the newest file that can be read and return its header."""
        for path in reversed(in_order(self.folder.glob("*.journal"))):
            data = path.read_bytes()
            header = _header(path, data)
            if header is not None:
                self.newest = path.name
                return header
            if data:
                self.problems.append(f"{path.name} has no readable header")
        if self.after > 0 or any(self.folder.glob("*.reserved")):
            self.problems.append("no file of the journal can be read")
        return None

    def read(self, header: Header) -> None:
        """Read the files that the newest one's `header` names, then that one."""
        files: list[tuple[str, int | None]] = [*header.chain, (self.newest, None)]
        start = self._start([base_of(name) for name, _ in files])
        self.chain = [(name, size) for name, size in header.chain[:start] if (self.folder / name).exists()]
        if not self._connects(files[start][0]):
            self.chain = []
            self.problems.append(f"{files[start][0]} does not follow checkpoint {self.after}")
            return
        closed = False
        for name, size in files[start:]:
            whole, closed = self._read_file(name, size)
            if not whole:
                return
        if not closed and (header.boot != boot_id() or not header.boot):
            self.problems.append("the machine was restarted, so the end of the journal may be missing")

    def _start(self, bases: list[int]) -> int:
        """Return the first file that may hold entries after the checkpoint."""
        if self.after in bases:
            return bases.index(self.after)
        return max((index for index, base in enumerate(bases) if base < self.after), default=0)

    def _connects(self, name: str) -> bool:
        """Return whether the entries of file `name` can be applied to the checkpoint."""
        if base_of(name) <= max(self.after, 0):
            return True
        path = self.folder / name
        header = _header(path, path.read_bytes()) if path.exists() else None
        return header is not None and not header.chain and header.follows == self.after

    def _read_file(self, name: str, size: int | None) -> tuple[bool, bool]:
        """Read the first `size` bytes of a file; return whether they were all there, and whether it was closed."""
        path = self.folder / name
        data = path.read_bytes() if path.exists() else b""
        if size is None:
            data = _settled(path, data)
            size = len(data)
        everything = base_of(name) >= self.after
        read, closed = 0, False
        for content, end in frames(memoryview(data)[:size]):
            if read:  # the first frame is the header
                try:
                    entry = decode_entry(content)
                except UNREADABLE:
                    break
                closed = entry is None
                if entry is not None and (everything or entry.version > self.after):
                    self.entries.append(entry)
            read = end
        if read:
            self.chain.append((name, read))
        if read < size:
            self.problems.append(f"{name} cannot be read from byte {read} of {size} on")
        return read == size, closed

    def reserved(self, header: Header | None, last: int) -> int:
        """Return the highest version that may have been published, given the last one that is known of."""
        known = [0 if header is None else header.reserved, last]
        for path in self.folder.glob("*.reserved"):
            number = decode_number(path.read_bytes())
            if number is None:
                self.problems.append(f"{path.name} cannot be read")
            known.append(max(known) + _FAR if number is None else number)
        return max(known) if len(known) > 2 or not self.problems else max(known) + _FAR


def _settled(path: Path, data: bytes) -> bytes:
    """Return the content of a file that may just be appended to; it was `data`, and half a frame may become a whole."""
    end = max((end for _, end in frames(memoryview(data))), default=0)
    if end == len(data):
        return data
    time.sleep(_SETTLE)
    later = path.read_bytes()
    if later == data:
        return data
    # Appending goes on: what was half is whole by now, and what has come since need not be looked at.
    for _, after in frames(memoryview(later)):
        if after > end:
            return later[:after]
    return later


def _header(path: Path, data: bytes) -> Header | None:
    """Return a file's header; None where it cannot be read."""
    for content, _ in frames(memoryview(data)):
        try:
            if schema_of(content) <= SCHEMA:
                return decode_header(content)
        except UNREADABLE:
            return None
        raise JournalInvalid(f"{path} was written by a newer version of Headrace: use that one, or a newer one")
    return None
