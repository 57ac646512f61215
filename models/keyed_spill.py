"""What was learned of keys that have no slot: kept on disk, and given back bit for bit. For ``keyed.py``.

Rows are gathered in memory until there are some thousand, and are then a *segment*: sorted by key, never changed, and
mapped from a file that has no name, so that the system may have its memory and nothing is left of it when the process
ends, however it ends. What is durable is the checkpoint, which has every segment as one of its own; whoever restores
one maps it anew. So no kill can leave files here that contradict a checkpoint: none of these is ever read again.

A key that comes back is marked as gone in its segment. A segment most of whose keys are gone is given up, and those
that are left move to the newest; when there are too many rows, the oldest segment is forgotten.
"""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.learner import Array, Json

SPILLED = "spilled-"
"""Begins the names of arrays that never change: those of segments."""

ROWS = 4096  # of a segment
LIVELY = 4  # a segment is given up when fewer than this part of its rows are of use

Keys = NDArray[np.int64]


class Spilled(NamedTuple):
    """What was learned of some keys.

    Attributes
    ----------
    keys
        Hashes, int64, shape (rows,).
    rows
        float32, shape (rows, numbers): what was learned.
    since
        int64, shape (rows,): number of the microbatch in which it was spilled.
    units
        float64, shape (rows,): how many of the first units of the target were one then.
    """

    keys: Keys
    rows: NDArray[np.float32]
    since: NDArray[np.int64]
    units: NDArray[np.float64]

    def take(self, places: NDArray[Any]) -> "Spilled":
        """Return some of them."""
        return Spilled(*(array[places] for array in self))

    @classmethod
    def joined(cls, parts: Sequence["Spilled"]) -> "Spilled":
        """Return rows of several parts."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(eq=False)
class Segment:
    """Rows that never change, and which of them are still of use.

    Attributes
    ----------
    number
        Of the segment, growing.
    form
        What the rows hold: JSON that only the expert understands. All rows of a segment are of one form.
    content
        Sorted by key.
    alive
        bool, shape (rows,).
    """

    number: int
    form: list[int]
    content: Spilled
    alive: NDArray[np.bool_]

    def find(self, keys: Keys) -> tuple[Keys, Keys]:
        """Return which of `keys` are alive here, as places among `keys`, and their rows."""
        places = np.searchsorted(self.content.keys, keys)
        places[places == len(self.content.keys)] = 0
        met = np.flatnonzero((self.content.keys[places] == keys) & self.alive[places])
        return met, places[met]


class Returned(NamedTuple):
    """Rows that are given back: which of the keys asked for, what their rows hold, and the rows."""

    places: Keys
    form: list[int]
    content: Spilled


class Spill:
    """Rows of keys without a slot.

    Parameters
    ----------
    most
        Rows that are kept, at most; what is there the longest is forgotten first.
    folder
        On whose disk; None: where the system has temporary files.

    Attributes
    ----------
    forgotten
        Keys that had to be forgotten.
    """

    def __init__(self, most: int, folder: Path | None = None) -> None:
        self._most, self._folder = most, folder
        self.forgotten = 0
        self._number = 0
        self._segments: list[Segment] = []
        self._form: list[int] = []
        self._open: list[Spilled] = []  # newest rows, in the order in which they came
        self._places: dict[int, tuple[int, int]] = {}  # key → its part of these, and its row there

    def __len__(self) -> int:
        return len(self._places) + sum(int(segment.alive.sum()) for segment in self._segments)

    def add(self, form: list[int], content: Spilled) -> None:
        """Keep rows of keys that are not there."""
        if not self._most or not len(content.keys):
            return
        if form != self._form:
            self._seal()
            self._form = form
        part = len(self._open)
        self._open.append(content)
        self._places.update((key, (part, row)) for row, key in enumerate(content.keys.tolist()))
        if len(self._places) >= ROWS:
            self._seal()
            self._tidy()

    def take(self, keys: Keys) -> list[Returned]:
        """Give back what there is of some keys; it is kept here no longer."""
        found = []
        here = [place for place, key in enumerate(keys.tolist()) if key in self._places] if self._places else []
        if here:
            rows = [self._places.pop(int(keys[place])) for place in here]
            parts = [self._open[part].take(np.array([row])) for part, row in rows]
            found.append(Returned(np.array(here, np.int64), self._form, Spilled.joined(parts)))
        for segment in self._segments:
            met, rows_met = segment.find(keys)
            if len(met):
                segment.alive[rows_met] = False
                found.append(Returned(met, segment.form, segment.content.take(rows_met)))
        return found

    def _seal(self) -> None:
        """Make a segment of the newest rows."""
        content = self._newest()
        self._open, self._places = [], {}
        if content is None:
            return
        self._number += 1
        self._segments.append(self._segment(self._number, self._form, content, np.ones(len(content.keys), np.bool_)))

    def _newest(self) -> Spilled | None:
        """Return the newest rows that are still of use, sorted by key; None where there are none."""
        if not self._places:
            return None
        parts = [[row for at, row in self._places.values() if at == part] for part in range(len(self._open))]
        content = Spilled.joined(
            [part.take(np.array(rows, np.int64)) for part, rows in zip(self._open, parts, strict=True) if rows]
        )
        return content.take(np.argsort(content.keys))

    def _segment(self, number: int, form: list[int], content: Spilled, alive: NDArray[np.bool_]) -> Segment:
        """Return a segment whose rows are on disk."""
        arrays = (content.keys, self._mapped(content.rows), content.since, content.units)
        for array in arrays:
            array.flags.writeable = False
        return Segment(number, form, Spilled(*arrays), alive)

    def _mapped(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows as they are in a file without a name; themselves where none can be written."""
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=self._folder) as file:
            file.write(np.ascontiguousarray(rows).data)
            file.flush()
            return np.memmap(file, np.float32, "r", shape=rows.shape)
        return rows

    def _tidy(self) -> None:
        """Give up segments of which little is of use, and forget the oldest where there are too many rows."""
        poor = [each for each in self._segments if each.alive.sum() * LIVELY < len(each.alive)]
        self._segments = [each for each in self._segments if each not in poor]
        for segment in poor:
            self.add(segment.form, segment.content.take(np.flatnonzero(segment.alive)))
        while self._segments and sum(len(segment.alive) for segment in self._segments) > self._most:
            self.forgotten += int(self._segments.pop(0).alive.sum())

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return all that it is; the arrays of segments are not copied, for nobody can change them."""
        newest = self._newest()
        meta = {
            "number": self._number,
            "forgotten": self.forgotten,
            "form": self._form,
            "segments": [[segment.number, segment.form] for segment in self._segments],
        }
        arrays: dict[str, Array] = {} if newest is None else {f"keys/{k}": v for k, v in newest._asdict().items()}
        for segment in self._segments:
            arrays[f"keys/alive-{segment.number}"] = segment.alive
            arrays |= {f"{SPILLED}{segment.number:06d}/{k}": v for k, v in segment.content._asdict().items()}
        return meta, arrays

    def restore(self, meta: Json, arrays: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken from."""
        self._number, self.forgotten, self._form = meta["number"], meta["forgotten"], list(meta["form"])
        self._segments = [
            self._segment(
                number, list(form), _content(f"{SPILLED}{number:06d}/", arrays), arrays[f"keys/alive-{number}"]
            )
            for number, form in meta["segments"]
        ]
        self._open, self._places = [], {}
        if "keys/rows" in arrays:
            content = _content("keys/", arrays)
            self._open = [content]
            self._places = {key: (0, row) for row, key in enumerate(content.keys.tolist())}


def _content(beginning: str, arrays: Mapping[str, Array]) -> Spilled:
    """Return rows from arrays whose names begin so."""
    return Spilled(*(arrays[f"{beginning}{name}"] for name in Spilled._fields))
