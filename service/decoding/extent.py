"""How much room events take once they are columns: bounded before any column is made.

On the path it stands between decoding and columns. A megabyte of JSON can name 30,000 features in 30,000 events, each
in one of them; as a matrix that is a billion places. So whoever is about to make columns asks here first. Events of
one shape can never come near the bounds: what they would fill must have been sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.decoding.flattening import FeatureInvalid

MAXIMUM_CELLS = 1 << 22
"""Rows × columns of one table: 32 MB as a matrix, and about a second's work. A full table may have more."""

_SPARSEST = 4
"""Places of a larger table for each value in it."""

MAXIMUM_NAMES = 1 << 26
"""Characters of the dotted names of all events of one table: a name is repeated for each value within an object."""


class TooWide(FeatureInvalid):
    """Rows that have too little in common to be one table: fewer of them at a time may do."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "", message)


def check_cells(rows: int, columns: int, values: int) -> None:
    """Raise :class:`TooWide` where a table would have too many places, and few of them would be filled.

    Parameters
    ----------
    rows, columns
        Of the table.
    values
        That it would hold, missing ones not counted, or more.
    """
    if rows * columns > max(MAXIMUM_CELLS, _SPARSEST * values):
        raise TooWide(
            f"{rows} events with {columns} different features have too little in common; send them in parts, or with "
            "fewer different names"
        )


def has_room(rows: int, columns: int) -> bool:
    """Whether a table may have so many places, however few of them are filled."""
    return rows * columns <= MAXIMUM_CELLS


class NamesLength:
    """Adds up the dotted names that flattening made."""

    def __init__(self) -> None:
        self._length = 0

    def add(self, flat: Mapping[str, Any], nested: Mapping[str, Any]) -> None:
        """Count the names of one row; one that was not nested made none.

        Raises
        ------
        TooWide
            Together they are too long.
        """
        if flat is nested:
            return
        self._length += sum(map(len, flat))
        if self._length > MAXIMUM_NAMES:
            raise TooWide(f"the dotted names are longer than {MAXIMUM_NAMES} characters in all; send parts")


def in_parts(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return (start, stop) of parts of a sequence: each of at most `most` together, but of one at least.

    Parameters
    ----------
    sizes
        Bytes of each.
    """
    if sizes and sum(sizes) <= most:
        return [(0, len(sizes))]
    parts: list[tuple[int, int]] = []
    start = total = 0
    for index, size in enumerate(sizes):
        if total + size > most and index > start:
            parts.append((start, index))
            start, total = index, 0
        total += size
    if start < len(sizes):
        parts.append((start, len(sizes)))
    return parts
