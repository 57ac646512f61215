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
    values, marks
        Slot → input column of the standardised value, and of the mark that it is missing (:data:`NONE` until the first
        time that it is missing).
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
    strings: dict[FeatureKey, int] = field(default_factory=dict)
    hashed: int = NONE
    roles: list[Role] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Input columns in use."""
        return len(self.roles)

    def add_numbers(self, keys: Iterable[FeatureKey]) -> None:
        """Give slots to numbers."""
        for key in keys:
            self.numbers[key] = len(self.values)
            self.values.append(self._add_columns(1, Role.VALUE))
            self.marks.append(NONE)

    def add_marks(self, slots: Iterable[int]) -> None:
        """Give columns to the marks of numbers that are missing for the first time."""
        for slot in slots:
            self.marks[slot] = self._add_columns(1, Role.MARK)

    def add_strings(self, keys: Iterable[FeatureKey], statistics: int) -> None:
        """Give places to categories, with `statistics` columns each, and to bags of tokens."""
        for key in keys:
            if self.hashed == NONE:
                self.hashed = self._add_columns(HASHED, Role.VALUE)
            has_statistics = key.kind is Kind.CATEGORY and statistics
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
            {FeatureKey(name, Kind(kind)): column for name, kind, column in saved["strings"]},
            saved["hashed"],
            [Role(role) for role in saved["roles"]],
        )
