"""Events that could not be used, kept with the reason, so that they can be looked at and sent again: start here.

On the path it stands beside the decoder: what is refused goes here, and the stream goes on. An event is known by its
place in the log, so learning the same stretch of the log again after a restart adds nothing. Beside this file:
``dead_letter.py`` (one letter), ``dead_letter_file.py`` (the tables), ``dead_letter_outbox.py`` and
``dead_letter_forwarding.py`` (copies to a topic), ``dead_letter_redrives.py`` (sent again), ``dead_letter_pause.py``.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from consumers.dead_letter import FIELDS, KEPT_FIELDS, DeadLetter, KeptLetter, Place, kept_letter, row_of
from consumers.dead_letter_file import WAITING, DeadLetterFile
from consumers.dead_letter_outbox import Outbox
from consumers.dead_letter_pause import Pauses
from consumers.dead_letter_redrives import Redrives
from consumers.source import Position, Positions

__all__ = ["DeadLetter", "DeadLetters", "Filter", "KeptLetter", "Known", "Place"]

UNSENT_FACTOR = 2
"""Letters that wait to be forwarded may be so many times what is kept otherwise; then they make room too."""

_INSERT = f"""
INSERT OR IGNORE INTO dead_letters ({FIELDS}, size, sent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_COUNT = """
INSERT INTO counts VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET letters = letters + 1
"""

_FLOOR = """
INSERT INTO floors VALUES (?, ?, ?, ?)
ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset", "index" = excluded."index"
WHERE (excluded."offset", excluded."index") > (floors."offset", floors."index")
"""


_OLDEST = 'SELECT id, size, sent, topic, partition, "offset", "index" FROM dead_letters ORDER BY id'


class Filter(NamedTuple):
    """Which letters are meant; what is None does not matter.

    Attributes
    ----------
    reason
        Only those with this reason.
    redrive
        Only those with this state; see :class:`~consumers.dead_letter.KeptLetter`.
    ids
        Only those with these numbers.
    """

    reason: str | None = None
    redrive: str | None = None
    ids: Sequence[int] | None = None


class Known(NamedTuple):
    """An event that was refused before: where in its topic, and why; see :class:`~consumers.dead_letter.DeadLetter`."""

    partition: int
    offset: int
    event: int
    whole: bool
    reason: str
    detail: str


class DeadLetters:
    """A file of dead letters. May be shared by threads, and opened by other processes.

    Parameters
    ----------
    path
        The file; made where it does not exist.
    keep, keep_bytes
        Letters beyond this many, or of more bytes in all, push the oldest out; the counts go on counting them. Those
        that wait to be forwarded may be twice as many.
    forward
        Whether letters that are added are to be forwarded.
    clock
        The time, in seconds since the epoch.

    Raises
    ------
    SourceUnavailable, LogUnreadable

    Attributes
    ----------
    outbox, redrives, pauses
        What else the file holds: which letters wait to be forwarded, which were sent again, whether learning pauses.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: int = 100_000,
        keep_bytes: int = 1 << 30,
        forward: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = DeadLetterFile(path, clock=clock)
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._forward = forward
        self.outbox = Outbox(self._file)
        self.redrives = Redrives(self._file)
        self.pauses = Pauses(self._file)

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Keep `letters`; they are on disk when this returns.

        Returns
        -------
        int
            How many of them were not known yet. At or before the last place of a partition that had to make room,
            every letter counts as known.

        Raises
        ------
        AppendFailed
            None of them was kept; trying again may help.
        DiskUnreliable, LogUnreadable
            Trying again does not help.
        """
        if not letters:
            return 0
        with self._file.transaction(f"{len(letters)} dead letters") as connection:
            added = self._add(connection, letters)
            self._make_room(connection)
        return added

    def counts(self) -> dict[str, int]:
        """Return reason → how many letters there ever were."""
        return dict(self._file.read("SELECT reason, letters FROM counts"))

    def find(self, wanted: Filter = Filter(), limit: int = -1, *, newest: bool = False) -> list[KeptLetter]:
        """Return up to `limit` letters, the oldest or the newest first."""
        condition, parameters = _condition(wanted)
        order = "DESC" if newest else "ASC"
        statement = f"SELECT {KEPT_FIELDS} FROM dead_letters WHERE {condition} ORDER BY id {order} LIMIT ?"
        return [kept_letter(row) for row in self._file.read(statement, (*parameters, limit))]

    def find_ids(self, wanted: Filter, limit: int = -1) -> list[int]:
        """Return the numbers of up to `limit` letters, the oldest first."""
        condition, parameters = _condition(wanted)
        statement = f"SELECT id FROM dead_letters WHERE {condition} ORDER BY id LIMIT ?"
        return [number for (number,) in self._file.read(statement, (*parameters, limit))]

    def at(self, place: Place) -> KeptLetter | None:
        """Return the letter of one event; None where there is none."""
        where = 'topic = ? AND partition = ? AND "offset" = ? AND "index" = ?'
        rows = self._file.read(f"SELECT {KEPT_FIELDS} FROM dead_letters WHERE {where}", place)
        return kept_letter(rows[0]) if rows else None

    def known(self, topic: str, positions: Positions) -> list[Known]:
        """Return what was refused of `topic` at or after `positions`, and of partitions absent from them."""
        rows = self._file.read(
            'SELECT partition, "offset", "index", whole, reason, detail FROM dead_letters WHERE topic = ?', (topic,)
        )
        found = (Known(*row) for row in rows)
        return [each for each in found if each.offset >= positions.get(each.partition, Position(0)).offset]

    def begin_anew(self, *, keep_redriven: bool) -> None:
        """Forget all letters and counts, and the pause: the log is to be read again, and all of it judged again.

        Parameters
        ----------
        keep_redriven
            Whether letters that were sent again stay: what they hold is learned, or refused, at its new place.

        Raises
        ------
        AppendFailed, DiskUnreliable, LogUnreadable
            Nothing was forgotten.
        """
        with self._file.transaction("what is left of the dead letters") as connection:
            connection.execute("DELETE FROM dead_letters WHERE redrive IS NULL OR NOT ?", (keep_redriven,))
            for table in ("counts", "floors", "pause"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("UPDATE sums SET value = 0")
            letters, size = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM dead_letters").fetchone()
            _sum(connection, "letters", letters)
            _sum(connection, "bytes", size)

    def copy_to(self, path: Path) -> None:
        """Write a copy, as of now, to the file at `path`, which must not be there yet.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        self._file.copy_to(path)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._file.close()

    def _add(self, connection: sqlite3.Connection, letters: Sequence[DeadLetter]) -> int:
        now = self._file.now()
        rows = connection.execute('SELECT topic, partition, "offset", "index" FROM floors')
        floors = {(topic, partition): place for topic, partition, *place in rows}
        added = size = 0
        for letter in letters:
            floor = floors.get((letter.topic, letter.partition))
            if floor is not None and [letter.offset, letter.index] <= floor:
                continue
            row = row_of(letter, now)
            if connection.execute(_INSERT, (*row, WAITING if self._forward else None)).rowcount:
                connection.execute(_COUNT, (letter.reason,))
                added += 1
                size += row[-1]  # type: ignore[operator]  # the last of the row is its size
        _sum(connection, "letters", added)
        _sum(connection, "bytes", size)
        return added

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Take the oldest letters out until the rest is within bounds."""
        sums = dict(connection.execute("SELECT name, value FROM sums"))
        letters, held = sums["letters"], sums["bytes"]
        taken = freed = unsent = last = 0
        floors: dict[tuple[str, int], Place] = {}
        rows = connection.execute(_OLDEST)
        for number, size, sent, *place in rows:
            factor = UNSENT_FACTOR if sent == WAITING else 1
            within = letters - taken <= self._keep * factor and held - freed <= self._keep_bytes * factor
            if within or letters - taken <= 1:
                break
            taken, freed, last, unsent = taken + 1, freed + size, number, unsent + (sent == WAITING)
            floors[place[0], place[1]] = max(Place(*place), floors.get((place[0], place[1]), Place(*place)))
        if not taken:
            return
        connection.execute("DELETE FROM dead_letters WHERE id <= ?", (last,))
        connection.executemany(_FLOOR, floors.values())
        for name, value in (("letters", -taken), ("bytes", -freed), ("unsent_pruned", unsent)):
            _sum(connection, name, value)


def _sum(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("UPDATE sums SET value = value + ? WHERE name = ?", (value, name))


def _condition(wanted: Filter) -> tuple[str, list[object]]:
    """Return `wanted` as a condition of SQL and its parameters."""
    conditions = ["TRUE"]
    parameters: list[object] = []
    if wanted.reason is not None:
        conditions.append("reason = ?")
        parameters.append(wanted.reason)
    if wanted.redrive is not None:
        conditions.append("coalesce(redrive, 'none') = ?")
        parameters.append(wanted.redrive)
    if wanted.ids is not None:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        parameters.append(str(list(wanted.ids)))
    return " AND ".join(conditions), parameters
