"""How much of the stream some parameters stand for: a number, and a checksum that says which events they were.

Kept by each lane beside its positions, in checkpoints and journal, and shown in the model's state: whoever reads the
log can compute both for himself and compare.
"""

from dataclasses import dataclass
from typing import Self

from consumers.track import Track
from models.learner import Json

_WRAP = (1 << 64) - 1


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
    """

    learned: int = 0
    consumed: int = 0
    checksum: int = 0

    def after(self, track: Track, unused: int = 0) -> Self:
        """Return the count after the events of `track` were learned, and `unused` more were passed."""
        return self.plus(len(track), track.checksum(), unused)

    def plus(self, rows: int, checksum: int, unused: int = 0) -> Self:
        """Return the count after `rows` more events of this checksum were learned, and `unused` more were passed."""
        return type(self)(self.learned + rows, self.consumed + rows + unused, (self.checksum + checksum) & _WRAP)

    @property
    def hex(self) -> str:
        """The checksum as people and JSON see it: 16 hexadecimal digits."""
        return f"{self.checksum:016x}"

    def to_json(self) -> dict[str, int | str]:
        """Return it as checkpoints and the journal carry it."""
        return {"learned": self.learned, "consumed": self.consumed, "events_checksum": self.hex}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Return what :meth:`to_json` gave."""
        return cls(data["learned"], data["consumed"], int(data["events_checksum"], 16))
