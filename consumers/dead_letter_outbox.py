"""Which dead letters wait to be forwarded: an outbox in the file itself, so that nothing is forgotten or held up."""

from collections.abc import Sequence

from consumers.dead_letter import KEPT_FIELDS, KeptLetter, kept_letter
from consumers.dead_letter_file import TOO_LARGE, DeadLetterFile


class Outbox:
    """The letters of a file that wait to be forwarded. May be shared by threads.

    Parameters
    ----------
    file
        The file of dead letters.
    """

    def __init__(self, file: DeadLetterFile) -> None:
        self._file = file

    def waiting(self, limit: int, most_bytes: int) -> list[KeptLetter]:
        """Return up to `limit` letters that wait, the oldest first; one at least, then only up to `most_bytes`."""
        sizes = self._file.read("SELECT id, size FROM dead_letters WHERE sent = 0 ORDER BY id LIMIT ?", (limit,))
        last = held = 0
        for number, size in sizes:
            held += size
            if last and held > most_bytes:
                break
            last = number
        rows = self._file.read(
            f"SELECT {KEPT_FIELDS} FROM dead_letters WHERE sent = 0 AND id <= ? ORDER BY id",
            (last,),
        )
        return [kept_letter(row) for row in rows]

    def sent(self, letters: Sequence[KeptLetter]) -> None:
        """Note that the topic has `letters`.

        Raises
        ------
        AppendFailed, DiskUnreliable, LogUnreadable
        """
        self._mark(letters, self._file.now())

    def too_large(self, letter: KeptLetter) -> None:
        """Note that the topic will never take `letter`; raises as :meth:`sent` does."""
        self._mark([letter], TOO_LARGE)

    def unsent(self) -> int:
        """Return how many letters wait."""
        ((count,),) = self._file.read("SELECT count(*) FROM dead_letters WHERE sent = 0")
        return int(count)

    def pruned(self) -> int:
        """Return how many letters ever had to make room before they were forwarded."""
        ((count,),) = self._file.read("SELECT value FROM sums WHERE name = 'unsent_pruned'")
        return int(count)

    def _mark(self, letters: Sequence[KeptLetter], value: int) -> None:
        with self._file.transaction("that dead letters were forwarded") as connection:
            connection.executemany(
                "UPDATE dead_letters SET sent = ? WHERE id = ?", [(value, letter.id) for letter in letters]
            )
