"""Sending dead letters again, once each: a durable mark before and one after, and what if only the first is there.

Letters are marked ``begun``, appended to their topic together, and marked ``done``. Where the second mark is missing,
nobody knows whether they were appended. The embedded log can tell: it remembers the key of an append, so doing it again
is safe for as long as it remembers. Kafka cannot, so there an operator has to say.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from consumers.dead_letter import KEPT_FIELDS, KeptLetter, kept_letter
from consumers.dead_letter_file import DeadLetterFile
from consumers.errors import SourceUnavailable, TopicMissing
from consumers.source import NewRecord, Sink

REDRIVEN_HEADER = "headrace-redriven"
"""Names the letter that a record was sent again from: its topic, partition, offset and index."""

_SAFE_SECONDS = 80_000.0
"""How long after a mark the embedded log surely remembers its key; it does for a day."""


class Redrives:
    """The marks of redriven letters in a file. May be shared by threads.

    Parameters
    ----------
    file
        The file of dead letters.
    """

    def __init__(self, file: DeadLetterFile) -> None:
        self._file = file

    def begin(self, ids: Sequence[int], *, again: bool = False) -> list[KeptLetter]:
        """Mark letters before they are sent again, all in one append, and return them, the oldest first.

        Those that are marked already are left out, unless `again` is set, which takes those that were begun too.
        """
        states = "'none', 'begun'" if again else "'none'"
        mark = (self._file.now(), uuid.uuid4().hex)
        with self._file.transaction("the marks of redriven letters") as connection:
            connection.executemany(
                f"""UPDATE dead_letters SET redrive = 'begun', redrive_at = ?, batch = ?
                    WHERE id = ? AND coalesce(redrive, 'none') IN ({states})""",
                [(*mark, number) for number in ids],
            )
            statement = f"SELECT {KEPT_FIELDS} FROM dead_letters WHERE batch = ? ORDER BY id"
            rows = connection.execute(statement, (mark[1],)).fetchall()
        return [kept_letter(row) for row in rows]

    def finish(self, letters: Sequence[KeptLetter]) -> None:
        """Mark `letters` as sent again."""
        self._mark(letters, "done")

    def undo(self, letters: Sequence[KeptLetter]) -> None:
        """Take the marks of `letters` away: surely nothing was sent."""
        self._mark(letters, None)

    def is_safe(self, letter: KeptLetter) -> bool:
        """Whether a log that remembers keys still remembers that of a letter that was begun."""
        return self._file.now() - (letter.redrive_at or 0) < _SAFE_SECONDS * 1000

    def _mark(self, letters: Sequence[KeptLetter], state: str | None) -> None:
        now = None if state is None else self._file.now()
        with self._file.transaction("the marks of redriven letters") as connection:
            connection.executemany(
                "UPDATE dead_letters SET redrive = ?, redrive_at = ? WHERE id = ?",
                [(state, now, letter.id) for letter in letters],
            )


@dataclass(frozen=True, slots=True)
class Redrive:
    """Sends letters of one file again.

    Attributes
    ----------
    redrives
        Their marks.
    sink
        The topic that they came from.
    remembers_keys
        Whether the sink appends nothing a second time under the same idempotency key.
    """

    redrives: Redrives
    sink: Sink
    remembers_keys: bool

    def run(self, ids: Sequence[int], *, again: bool = False) -> int:
        """Send the letters with these numbers again that were not yet; return how many.

        Parameters
        ----------
        ids
            Which; a few at a time, for each call is one append.
        again
            Take those too of which nobody knows whether they were sent. They may then be in the topic twice.

        Raises
        ------
        SourceUnavailable, TopicMissing
            Nothing of this call was sent.
        AppendFailed
            Some of this call may have been sent; where the sink remembers keys, none.
        """
        return self._append(self.redrives.begin(ids, again=again))

    def repair(self, letters: Sequence[KeptLetter]) -> int:
        """Finish what was begun and interrupted, where the sink can tell; return how many letters this call sent.

        Raises as :meth:`run` does.
        """
        safe = [letter for letter in letters if self.remembers_keys and self.redrives.is_safe(letter)]
        batches: dict[str | None, list[KeptLetter]] = {}
        for letter in safe:
            batches.setdefault(letter.batch, []).append(letter)
        return sum(map(self._append, batches.values()))

    def _append(self, letters: Sequence[KeptLetter]) -> int:
        """Append letters of one batch, and mark them."""
        if not letters:
            return 0
        try:
            appended = self.sink.append([_record_of(letter) for letter in letters], f"redrive {letters[0].batch}")
        except (SourceUnavailable, TopicMissing):
            self.redrives.undo(letters)
            raise
        self.redrives.finish(letters)
        return len(letters) if appended else 0


def _record_of(letter: KeptLetter) -> NewRecord:
    """Return what was refused as it was, with one header more that says where it was."""
    refused = letter.letter
    headers = [(name, value) for name, value in refused.headers if name != REDRIVEN_HEADER]
    headers.append((REDRIVEN_HEADER, str(refused.place).encode()))
    return NewRecord(refused.value or b"", refused.key, tuple(headers))
