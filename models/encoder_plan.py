"""Where the columns of one kind of microbatch go: worked out once for each set of columns, and then only looked up."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_layout import NONE, Layout
from models.examples import FeatureKey, Kind
from models.hashing import hash_value

Places = slice | NDArray[np.intp]
"""Columns: a slice where they lie side by side in order, which is the quicker to read and write."""

REMEMBERED = 64  # sets of columns; when there are more, all are forgotten
COLUMNS_REMEMBERED = 1 << 16  # and so they are when they have more columns together


class Plan(NamedTuple):
    """Places of some columns of numbers.

    Attributes
    ----------
    known
        Columns whose feature has a place, in order.
    slots, values
        Their slots, and their columns in the input.
    with_raw, raws
        Places, among the known ones, of those that have a raw column, and these columns.
    marks
        Of those that have a mark: their place among the known ones, and the mark's column in the input.
    tails
        Likewise, of those that have a heavy tail.
    others, absent
        Slots of all other features, and the columns in the input of their marks.
    complete
        Whether every column is known.
    plain
        Whether each of the known ones is a number in its own right, no component of a vector, truth value or date.
    leveled, level_columns, level_seeds
        Columns of numbers with few values; their first columns of target statistics in the input, int64; and what
        their hashes begin with, uint64.
    """

    known: NDArray[np.intp]
    slots: Places
    values: Places
    with_raw: Places
    raws: Places
    marks: tuple[tuple[int, int], ...]
    tails: tuple[tuple[int, int], ...]
    others: frozenset[int]
    absent: list[int]
    complete: bool
    plain: NDArray[np.bool_]
    leveled: NDArray[np.intp]
    level_columns: NDArray[np.int64]
    level_seeds: NDArray[np.uint64]


def make_plan(layout: Layout, keys: Sequence[FeatureKey]) -> Plan:
    """Return the plan for columns of these features."""
    known = [column for column, key in enumerate(keys) if key in layout.numbers]
    slots = [layout.numbers[keys[column]] for column in known]
    raws = [(place, layout.raw_numbers[slot]) for place, slot in enumerate(slots) if layout.raw_numbers[slot] != NONE]
    leveled = [(column, slot) for column, slot in zip(known, slots, strict=True) if slot in layout.levels]
    plain = np.array([keys[column].kind is Kind.NUMBER for column in known], np.bool_)
    others = frozenset(range(len(layout.marks))).difference(slots)
    return Plan(
        np.array(known, np.intp),
        side_by_side(slots),
        side_by_side([layout.values[slot] for slot in slots]),
        side_by_side([place for place, _ in raws]),
        side_by_side([column for _, column in raws]),
        tuple((place, layout.marks[slot]) for place, slot in enumerate(slots) if layout.marks[slot] != NONE),
        tuple((place, layout.tails[slot]) for place, slot in enumerate(slots) if layout.tails[slot] != NONE),
        others,
        [layout.marks[slot] for slot in sorted(others) if layout.marks[slot] != NONE],
        len(known) == len(keys),
        plain,
        np.array([column for column, _ in leveled], np.intp),
        np.array([layout.levels[slot] for _, slot in leveled], np.int64),
        np.array([hash_value(keys[column], "level") for column, _ in leveled], np.uint64),
    )


def side_by_side(places: Sequence[int]) -> Places:
    """Return places as a slice, if they are consecutive."""
    if places and list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, np.intp)


class Plans:
    """The plans of a layout, remembered until it changes."""

    def __init__(self) -> None:
        self._plans: dict[tuple[FeatureKey, ...], Plan] = {}
        self._columns = 0
        self._latest: tuple[tuple[FeatureKey, ...], Plan] | None = None

    def of(self, layout: Layout, keys: tuple[FeatureKey, ...]) -> Plan:
        """Return the plan for columns of these features."""
        if self._latest is not None and self._latest[0] is keys:  # mostly, and hashing many keys takes long
            return self._latest[1]
        plan = self._plans.get(keys)
        if plan is None:
            if len(self._plans) >= REMEMBERED or self._columns + len(keys) > COLUMNS_REMEMBERED:
                self.forget()
            self._columns += len(keys)
            plan = self._plans[keys] = make_plan(layout, keys)
        self._latest = keys, plan
        return plan

    def forget(self) -> None:
        """Note that the layout has changed."""
        self._plans.clear()
        self._columns = 0
        self._latest = None
