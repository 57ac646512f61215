"""Whether learning pauses because too much was refused: on disk, so that a restart pauses too."""

from dataclasses import dataclass

import msgspec

from consumers.dead_letter_file import DeadLetterFile
from consumers.source import Position, Positions

_POSITIONS = msgspec.json.Decoder(dict[int, Position])


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing more is read.

    Attributes
    ----------
    reason
        One word, for metrics.
    detail
        For a person: what happened and what to do.
    since
        Seconds since the epoch.
    positions
        How far reading came. What lies before it may be read again, as recovery does; nothing after it.
    """

    reason: str
    detail: str
    since: float
    positions: Positions


class Pauses:
    """The pause that a file of dead letters holds, if any. May be shared by threads.

    Parameters
    ----------
    file
        The file of dead letters.
    """

    def __init__(self, file: DeadLetterFile) -> None:
        self._file = file

    def current(self) -> Pause | None:
        """Return the pause; None where reading may go on.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        rows = self._file.read("SELECT reason, detail, since, positions FROM pause")
        if not rows:
            return None
        reason, detail, since, positions = rows[0]
        return Pause(reason, detail, since / 1000, _POSITIONS.decode(positions))

    def begin(self, reason: str, detail: str, positions: Positions) -> None:
        """Pause from now on, across restarts, until :meth:`end`. A pause that holds already stays as it is.

        Raises
        ------
        AppendFailed, DiskUnreliable, LogUnreadable
        """
        row = (reason, detail, self._file.now(), msgspec.json.encode(dict(positions)).decode())
        with self._file.transaction("a pause") as connection:
            connection.execute("INSERT OR IGNORE INTO pause VALUES (1, ?, ?, ?, ?)", row)

    def join(self, positions: Positions) -> None:
        """Have the pause that holds, if any, begin at `positions` in the partitions that it does not name yet.

        Raises
        ------
        AppendFailed, DiskUnreliable, LogUnreadable
        """
        with self._file.transaction("how far reading came before a pause") as connection:
            found = self.current()
            if found is not None:
                named = msgspec.json.encode({**positions, **found.positions}).decode()
                connection.execute("UPDATE pause SET positions = ?", (named,))

    def end(self) -> Pause | None:
        """Let reading go on; return the pause that ended, None where there was none. Raises as :meth:`begin` does."""
        with self._file.transaction("the end of a pause") as connection:
            found = self.current()
            connection.execute("DELETE FROM pause")
        return found
