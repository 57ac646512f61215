"""The checksum of learned events, computed without Headrace's own code: the independent half of a comparison."""

from collections.abc import Iterable

_MASK = 2**64 - 1


def checksum_of(places: Iterable[tuple[int, int, int]]) -> int:
    """Return the checksum of events, each given as partition and the position (offset, event) after it."""
    return sum(_mix((_mix((_mix(p) + offset) & _MASK) + event) & _MASK) for p, offset, event in places) & _MASK


def checksum_of_single(counts: dict[int, int]) -> str:
    """Return what the status shows once all of a log of one event a message is learned: partition → messages."""
    places = ((partition, offset + 1, 0) for partition, count in counts.items() for offset in range(count))
    return f"{checksum_of(places):016x}"


def checksum_of_places(places: Iterable[tuple[int, int, int]]) -> str:
    """Return what the status shows once these events are learned, each given as for :func:`checksum_of`."""
    return f"{checksum_of(places):016x}"


def _mix(value: int) -> int:
    mixed = (value + 0x9E3779B97F4A7C15) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 31
