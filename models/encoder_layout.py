"""Which feature is where in the input of a network: places are given in order of appearance, and then stay.

Because columns are only ever added at the end, all that was learned for earlier ones stays where it is. They are
bounded; who gets one of the last, and who takes over whose, is for ``encoder_admission.py`` to say. The number of
columns that a network sees is the width rounded up, so that shapes seldom change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any, Self

from models.examples import FeatureKey, Kind
from models.learner import Json

HASHED = 64
"""Dense columns that all strings share by signed hashing."""

MOST_COLUMNS = 4096
"""Input columns: a stream that never stops naming new features must not fill memory."""

MOST_STATISTICS = 1024
"""Input columns for the target statistics of categories; those for numbers are what is left."""

MOST_OF_NUMBERS = MOST_COLUMNS - MOST_STATISTICS - HASHED

MOST_RAWS = 512
"""Raw columns: thresholds are set in few of many columns anyway."""

WATCHED = 256
"""With more numbers than this, that one is missing is the rule and no news: it is not marked any more."""

MOST_STRINGS = 4096
"""Categories, and as many bags of tokens, that are told apart."""

NONE = -1
"""Place of what has none yet."""


class Role(StrEnum):
    """What an input column carries.

    A number in its own right, standardised; another value (a component of a vector, what a date says, hashed strings),
    either of which is 0 where it is missing; the mark that something is missing; or an estimate from targets of before,
    in units of the target's scale, that is 0 where nothing is known.
    """

    NUMBER = "number"
    VALUE = "value"
    MARK = "mark"
    ESTIMATE = "estimate"


def role_of(number: FeatureKey) -> Role:
    """Return what the column of a number carries."""
    return Role.NUMBER if number.kind is Kind.NUMBER else Role.VALUE


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
    levels
        Slot of a number with few values → first of its columns of target statistics; others are absent.
    lags
        First of the columns for the stream's own lags; :data:`NONE` before the first microbatch.
    hashed
        First of the columns for hashed strings; :data:`NONE` before the first string.
    roles
        What each input column carries, in order; its length is the width.
    raw_numbers
        Slot → raw column of the value (:data:`NONE`: there was no room for one).
    raw_strings
        Category → raw column of its code; one that is absent has none.
    raws
        Raw columns in use.
    taken_over
        How often a place was taken over in this process: with it the layout changes, though nothing is added.
    """

    numbers: dict[FeatureKey, int] = field(default_factory=dict)
    values: list[int] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    tails: list[int] = field(default_factory=list)
    strings: dict[FeatureKey, int] = field(default_factory=dict)
    hashed: int = NONE
    roles: list[Role] = field(default_factory=list)
    raw_numbers: list[int] = field(default_factory=list)
    raw_strings: dict[FeatureKey, int] = field(default_factory=dict)
    raws: int = 0
    levels: dict[int, int] = field(default_factory=dict)
    lags: int = NONE
    taken_over: int = field(default=0, compare=False)

    @property
    def width(self) -> int:
        """Input columns in use."""
        return len(self.roles)

    def features(self) -> Iterator[FeatureKey]:
        """Yield all features that have a place."""
        return chain(self.strings, self.numbers)

    def _room_for_numbers(self) -> int:
        """Return how many more columns numbers may have."""
        marks, tails = (sum(column != NONE for column in columns) for columns in (self.marks, self.tails))
        return max(min(MOST_OF_NUMBERS - len(self.values) - marks - tails, MOST_COLUMNS - self.width), 0)

    def add_numbers(self, keys: Sequence[FeatureKey]) -> Sequence[FeatureKey]:
        """Give slots to numbers, while there is room; return those that got none."""
        room = self._room_for_numbers()
        for key in keys[:room]:
            self.numbers[key] = len(self.values)
            self.values.append(self._add_columns(1, role_of(key)))
            self.marks.append(NONE)
            self.tails.append(NONE)
            self.raw_numbers.append(self._add_raw())
        return keys[room:]

    def add_marks(self, slots: Sequence[int]) -> None:
        """Give columns to the marks of numbers that are missing for the first time, while there is room."""
        for slot in slots[: self._room_for_numbers()]:
            self.marks[slot] = self._add_columns(1, Role.MARK)

    def add_tails(self, slots: Sequence[int]) -> None:
        """Give columns to heavy tails of numbers, while there is room."""
        for slot in slots[: self._room_for_numbers()]:
            self.tails[slot] = self._add_columns(1, Role.VALUE)

    def add_lags(self, count: int) -> None:
        """Give columns to the stream's lags."""
        self.lags = self._add_columns(count, Role.ESTIMATE)

    def add_levels(self, slots: Sequence[int], statistics: int) -> None:
        """Give columns of target statistics to numbers with few values, while there is room."""
        for slot in slots:
            if self._room_for_statistics(statistics):
                self.levels[slot] = self._add_columns(statistics, Role.ESTIMATE)

    def add_strings(self, keys: Sequence[FeatureKey], statistics: int) -> Sequence[FeatureKey]:
        """Give places to strings of one kind, categories with `statistics` columns each; return those without one."""
        room = max(MOST_STRINGS - self.held(keys[0].kind), 0) if keys else 0
        for key in keys[:room]:
            if self.hashed == NONE:
                self.hashed = self._add_columns(HASHED, Role.VALUE)
            has_statistics = key.kind is Kind.CATEGORY and self._room_for_statistics(statistics)
            self.strings[key] = self._add_columns(statistics, Role.ESTIMATE) if has_statistics else NONE
            if key.kind is Kind.CATEGORY and self.raws < MOST_RAWS:
                self.raw_strings[key] = self._add_raw()
        return keys[room:]

    def held(self, kind: Kind) -> int:
        """Return how many strings of a kind have a place."""
        return sum(key.kind is kind for key in self.strings)

    def _room_for_statistics(self, columns: int) -> bool:
        held = columns * (sum(column != NONE for column in self.strings.values()) + len(self.levels))
        return 0 < columns <= min(MOST_STATISTICS - held, MOST_COLUMNS - self.width)

    def take_over_number(self, old: FeatureKey, new: FeatureKey, statistics: int) -> tuple[int, list[int]]:
        """Give the place of one number to another; return its slot and its columns."""
        slot = self.numbers[new] = self.numbers.pop(old)
        self.roles[self.values[slot]] = role_of(new)
        self.taken_over += 1
        columns = [self.values[slot], self.marks[slot], self.tails[slot]]
        if slot in self.levels:
            columns += range(self.levels[slot], self.levels[slot] + statistics)
        return slot, [column for column in columns if column != NONE]

    def take_over_string(self, old: FeatureKey, new: FeatureKey, statistics: int) -> list[int]:
        """Give the place of one string to another; return its columns of statistics."""
        column = self.strings[new] = self.strings.pop(old)
        if old in self.raw_strings:
            self.raw_strings[new] = self.raw_strings.pop(old)
        self.taken_over += 1
        return [] if column == NONE else list(range(column, column + statistics))

    def _add_columns(self, count: int, role: Role) -> int:
        """Append columns and return the first."""
        first = len(self.roles)
        self.roles.extend([role] * count)
        return first

    def _add_raw(self) -> int:
        """Append a raw column and return it, or :data:`NONE` where there is no room."""
        if self.raws >= MOST_RAWS:
            return NONE
        self.raws += 1
        return self.raws - 1

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {
            "numbers": [[key.name, key.kind.value] for key in sorted(self.numbers, key=self.numbers.__getitem__)],
            "values": list(self.values),
            "marks": list(self.marks),
            "tails": list(self.tails),
            "strings": [[key.name, key.kind.value, column] for key, column in self.strings.items()],
            "hashed": self.hashed,
            "roles": [role.value for role in self.roles],
            "raw_numbers": list(self.raw_numbers),
            "raw_strings": [[key.name, key.kind.value, column] for key, column in self.raw_strings.items()],
            "raws": self.raws,
            "levels": [[slot, column] for slot, column in self.levels.items()],
            "lags": self.lags,
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
            list(saved["raw_numbers"]),
            {FeatureKey(name, Kind(kind)): column for name, kind, column in saved["raw_strings"]},
            saved["raws"],
            dict(saved["levels"]),
            saved["lags"],
        )
