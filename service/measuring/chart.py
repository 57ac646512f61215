"""Lines over two axes: what is drawn, whatever draws it.

Colours tell lines apart, dashes tell those of one colour apart, and each line may carry its own name at its right end,
so that no legend has to be looked up and none of it depends on seeing colours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Colours = Mapping[str, tuple[str, str]]
"""Style → its colour on white and on black; a contrast of 4.5 or more on either."""

Point = tuple[float, float]

DASHES: Sequence[tuple[int, ...]] = ((), (7, 4), (2, 3), (11, 3, 2, 3))
"""For the first line of a colour, the second and so on: on and off, in units of about a pixel."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that is marked.

    Attributes
    ----------
    at
        Where.
    told
        What it says to whom points at it; empty for nothing.
    hollow
        Whether its value is of another kind than that of full ones.
    ring
        Whether it is the one to look at.
    span
        The two ends of a bar through it, that says how far its value went up and down; empty for none.
    """

    at: Point
    told: str = ""
    hollow: bool = False
    ring: bool = False
    span: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes
    ----------
    label
        What stands at its right end; empty for nothing.
    style
        Name of its colour.
    dashes
        See :data:`DASHES`.
    best
        Whether it is the best of all.
    points
        In order; those that are joined.
    label_at
        Where the label goes, from 0 at the foot of the chart to 1 at its top.
    beyond
        An arrow to where the line ends, if that is off the chart; else empty.
    dots
        Points that are marked.
    """

    label: str
    style: str
    dashes: tuple[int, ...]
    best: bool
    points: Sequence[Point]
    label_at: float
    beyond: str = ""
    dots: Sequence[Dot] = ()

    @property
    def end(self) -> Point:
        """Where it ends: at its last point, or at its last dot, if that is all there is of it."""
        return self.points[-1] if self.points else self.dots[-1].at


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes
    ----------
    low, high
        Its ends.
    marks
        Values to be marked on it, and how they are written.
    name
        What is on it, with its unit; empty where that is said elsewhere.
    logarithmic
        Whether equal factors are equally long.
    """

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    name: str = ""
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 at the low end to 1 at the high one; beyond these where it is off it."""
        if not self.logarithmic:
            return (value - self.low) / (self.high - self.low)
        return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True, slots=True)
class Bound:
    """A value on the vertical axis that is not to be passed.

    Attributes
    ----------
    value, told
        Where, and what it is.
    at_end
        Whether that is said at its right end, below it, rather than at its left end, above it.
    """

    value: float
    told: str
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes.

    Attributes
    ----------
    lines
        The best first.
    across, up
        The axes.
    bound
        Drawn across; None for none.
    """

    lines: Sequence[Line]
    across: Axis
    up: Axis
    bound: Bound | None = None


def spread(ends: Sequence[float], space: float) -> list[float]:
    """Return places for labels near the ends of their lines, none of them over another where there is room.

    Parameters
    ----------
    ends
        Heights, 0 to 1, or beyond where a line leaves the chart.
    space
        Height of a label, as a share of the chart's.
    """
    space = min(space, 1 / max(len(ends), 1))
    order = sorted(range(len(ends)), key=lambda place: ends[place])
    places = [0.0] * len(ends)
    floor = 0.0
    for position in order:
        places[position] = max(floor, min(max(ends[position], 0.0), 1.0))
        floor = places[position] + space
    ceiling = 1.0
    for position in reversed(order):
        places[position] = min(places[position], ceiling)
        ceiling = places[position] - space
    return places


def steps(low: float, high: float, most: int) -> list[float]:
    """Return round values within an axis, at most one more than `most`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
