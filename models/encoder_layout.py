"""Which feature is where in the input of a network: places are given once, in order of appearance, and never change.

Because places are only ever added at the end, all that was learned for earlier ones stays where it is. The number of
columns that a network sees is the width rounded up, so that shapes seldom change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from models.examples import FeatureKey, Kind
from models.learner import Json

HASHED = 64
"""Dense columns that all strings share by signed hashing."""

MOST_COLUMNS = 4096
"""Input columns after which new features get none: a stream that never stops naming new ones must not fill memory."""

MOST_STRINGS = 4096
"""Categories and bags of tokens that are told apart; later ones are left out."""

NONE = -1
"""Place of what has none yet."""


class Role(StrEnum):
    """What an input column carries: a value that is 0 where it is missing, or the mark that something is missing."""

    VALUE = "value"
    MARK = "mark"


def power_of_two(size: int, least: int) -> int:
    """Return the smallest power of two that is at least `size` and `least`."""
    return 1 << (max(size, least, 1) - 1).bit_length()


def rounded_up(width: int) -> int:
    """Return `width` rounded up to a quarter of a power of two, at least 8: shapes change seldom, little is wasted."""
    grain = max(power_of_two(width, 8) // 8, 1)
    return max(-(-width // grain) * grain, 8)


@dataclass
class Layout:
    """Places of features.

    Attributes
    ----------
    numbers
        Number, boolean, component of a vector, or number drawn from a date (kind category) → its slot.
    values, marks, tails
        Slot → input column of the standardised value; of the mark that it is missing (:data:`NONE` until the first time
        that it is missing); and of its heavy tail (:data:`NONE` until it is found to have one).
    strings
        Category or bag of tokens → first of its columns of target statistics (:data:`NONE`: it has none).
    hashed
        First of the columns for hashed strings; :data:`NONE` before the first string.
    roles
        What each input column carries, in order; its length is the width.
    """

    numbers: dict[FeatureKey, int] = field(default_factory=dict)
    values: list[int] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    tails: list[int] = field(default_factory=list)
    strings: dict[FeatureKey, int] = field(default_factory=dict)
    hashed: int = NONE
    roles: list[Role] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Input columns in use."""
        return len(self.roles)

    def add_numbers(self, keys: Iterable[FeatureKey]) -> None:
        """Give slots to numbers, while there is room."""
        for key in keys:
            if self.width >= MOST_COLUMNS:
                return
            self.numbers[key] = len(self.values)
            self.values.append(self._add_columns(1, Role.VALUE))
            self.marks.append(NONE)
            self.tails.append(NONE)

    def add_marks(self, slots: Iterable[int]) -> None:
        """Give columns to the marks of numbers that are missing for the first time, while there is room."""
        for slot in slots:
            if self.width >= MOST_COLUMNS:
                return
            self.marks[slot] = self._add_columns(1, Role.MARK)

    def add_tails(self, slots: Iterable[int]) -> None:
        """Give columns to heavy tails of numbers, while there is room."""
        for slot in slots:
            if self.width >= MOST_COLUMNS:
                return
            self.tails[slot] = self._add_columns(1, Role.VALUE)

    def add_strings(self, keys: Iterable[FeatureKey], statistics: int) -> None:
        """Give places to categories, with `statistics` columns each, and to bags of tokens."""
        for key in keys:
            if len(self.strings) >= MOST_STRINGS:
                return
            if self.hashed == NONE:
                self.hashed = self._add_columns(HASHED, Role.VALUE)
            has_statistics = key.kind is Kind.CATEGORY and statistics and self.width < MOST_COLUMNS
            self.strings[key] = self._add_columns(statistics, Role.VALUE) if has_statistics else NONE

    def _add_columns(self, count: int, role: Role) -> int:
        """Append columns and return the first."""
        first = len(self.roles)
        self.roles.extend([role] * count)
        return first

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {
            "numbers": [[key.name, key.kind.value] for key in self.numbers],
            "values": list(self.values),
            "marks": list(self.marks),
            "tails": list(self.tails),
            "strings": [[key.name, key.kind.value, column] for key, column in self.strings.items()],
            "hashed": self.hashed,
            "roles": [role.value for role in self.roles],
        }

    @classmethod
    def from_json(cls, saved: Json) -> Self:
        """Return the layout that :meth:`to_json` described."""
        return cls(
            {FeatureKey(name, Kind(kind)): slot for slot, (name, kind) in enumerate(saved["numbers"])},
            list(saved["values"]),
            list(saved["marks"]),
            list(saved["tails"]),
            {FeatureKey(name, Kind(kind)): column for name, kind, column in saved["strings"]},
            saved["hashed"],
            [Role(role) for role in saved["roles"]],
        )
