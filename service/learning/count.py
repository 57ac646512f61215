"""How much of the stream some parameters stand for: a number, and a checksum that says which events they were.

Kept by each lane beside its positions, in checkpoints and journal, and shown in the model's state: whoever reads the
log can compute both for himself and compare.
"""

from dataclasses import dataclass, replace
from typing import Self

from consumers.track import Track
from models.learner import Json

_WRAP = (1 << 64) - 1
_LATER = ("duplicates", "limited", "drift", "drifted_at", "taught", "untaught")  # counts of former versions lack some


@dataclass(frozen=True, slots=True)
class Count:
    """Events since the beginning of the stream.

    Attributes
    ----------
    learned
        Those that the parameters stand for.
    consumed
        Those that were passed, usable or not.
    checksum
        Of the learned ones, whatever their order: the sum of :meth:`consumers.track.Track.checksum`, modulo 2^64.
    duplicates, limited
        Events that were passed because they had been learned before; and learned ones that were only scored, because
        their source had had its share.
    taught, untaught
        Learned events of which a teacher said something; and events of which it was to, but could not be asked.
    drift, drifted_at
        How often drift was certain in the learner's errors, and what `learned` was when it was last; 0 before.
    """

    learned: int = 0
    consumed: int = 0
    checksum: int = 0
    duplicates: int = 0
    limited: int = 0
    drift: int = 0
    drifted_at: int = 0
    taught: int = 0
    untaught: int = 0

    def after(self, track: Track, unused: int = 0) -> Self:
        """Return the count after the events of `track` were learned, and `unused` more were passed."""
        return self.plus(len(track), track.checksum(), unused)

    def plus(self, rows: int, checksum: int, unused: int = 0) -> Self:
        """Return the count after `rows` more events of this checksum were learned, and `unused` more were passed."""
        learned, consumed = self.learned + rows, self.consumed + rows + unused
        return replace(self, learned=learned, consumed=consumed, checksum=(self.checksum + checksum) & _WRAP)

    def screened(self, duplicates: int, limited: int) -> Self:
        """Return the count after some events were found to be duplicates, and others beyond their source's share."""
        return replace(self, duplicates=self.duplicates + duplicates, limited=self.limited + limited)

    def after_lesson(self, taught: int, untaught: int) -> Self:
        """Return the count after a teacher said something of some events, and could not be asked about others."""
        return replace(self, taught=self.taught + taught, untaught=self.untaught + untaught)

    def drifted(self, times: int) -> Self:
        """Return the count after the learner noticed so many drifts with the events that it holds now."""
        return replace(self, drift=self.drift + times, drifted_at=self.learned) if times else self

    @property
    def hex(self) -> str:
        """The checksum as people and JSON see it: 16 hexadecimal digits."""
        return f"{self.checksum:016x}"

    def to_json(self) -> dict[str, int | str]:
        """Return it as checkpoints and the journal carry it."""
        found: dict[str, int | str] = {"learned": self.learned, "consumed": self.consumed, "events_checksum": self.hex}
        found |= {"duplicates": self.duplicates, "limited": self.limited}
        found |= {"drift": self.drift, "drifted_at": self.drifted_at}
        return found | {"taught": self.taught, "untaught": self.untaught}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Return what :meth:`to_json` gave."""
        later = (data.get(name, 0) for name in _LATER)
        return cls(data["learned"], data["consumed"], int(data["events_checksum"], 16), *later)
