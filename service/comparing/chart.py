"""The running score of every learner as lines of a chart: what is drawn, whatever draws it.

Colours say how a learner learns, dashes tell those of one colour apart, and each line carries its own name and score at
its right end, so that no legend has to be looked up and none of it depends on seeing colours.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.comparing.comparison import Comparison, Measure, Result
from service.comparing.learner_names import Way
from service.comparing.words import plain

COLOURS: dict[Way, tuple[str, str]] = {
    "microbatch": ("#0b62c4", "#6cb0ff"),
    "online": ("#087a55", "#4fd1a1"),
    "batch": ("#b3480d", "#ff9d5c"),
    "baseline": ("#6b7280", "#9ca3af"),
}
"""Way of learning → its colour on white and on black; a contrast of 4.5 or more on either."""

_WAYS: dict[Way, str] = {
    "microbatch": "in microbatches of {delay:,} rows, or as many as behind the @",
    "online": "one event at a time",
    "batch": "batch training, again every so often",
    "baseline": "baseline",
}

DASHES: Sequence[tuple[int, ...]] = ((), (7, 4), (2, 3), (11, 3, 2, 3))
"""For the first line of a colour, the second and so on: on and off, in units of about a pixel."""

TOGETHER = 5
"""Points of the curve that are one of the recent chart: fewer would show more chance than change."""

_SETTLING = 0.1  # share of the stream after which a running score says something
_FAR = 3.0  # times the best error beyond which a line may leave the chart


@dataclass(frozen=True, slots=True)
class Line:
    """One learner.

    Attributes
    ----------
    label
        Its name and its score.
    way
        How it learns.
    dashes
        See :data:`DASHES`.
    best
        Whether it is the best of all.
    points
        Rows predicted, and score; in order.
    label_at
        Where the label goes, from 0 at the foot of the chart to 1 at its top.
    beyond
        An arrow to where the line ends, if that is off the chart; else empty.
    """

    label: str
    way: Way
    dashes: tuple[int, ...]
    best: bool
    points: Sequence[tuple[float, float]]
    label_at: float
    beyond: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the rows of a stream.

    Attributes
    ----------
    lines
        The best first.
    rows
        Where the horizontal axis ends.
    low, high
        Ends of the vertical axis.
    marks
        Values to be marked on it, and how they are written.
    row_marks
        The same for the horizontal axis.
    """

    lines: Sequence[Line]
    rows: int
    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    row_marks: Sequence[tuple[float, str]]

    def height(self, value: float) -> float:
        """Return where a value lies, from 0 at the foot to 1 at the top; beyond these where it is off the chart."""
        return (value - self.low) / (self.high - self.low)


def legend(chart: Chart, delay: int) -> dict[Way, str]:
    """Return what the colours of a chart mean; rows are learned `delay` at a time where nothing else is said."""
    return {way: _WAYS[way].format(delay=delay) for way in dict.fromkeys(line.way for line in chart.lines)}


def running(comparison: Comparison, space: float) -> Chart | None:
    """Return the chart of the score so far; None where there is nothing to draw.

    Parameters
    ----------
    comparison
        What to draw.
    space
        Height of a label, as a share of the chart's.
    """
    key = comparison.measures[0].key
    return _chart(comparison, [(each, _points(each, key)) for each in comparison.ranked], space)


def recent(comparison: Comparison, space: float) -> Chart | None:
    """Return the chart of the score over each part of the stream by itself, for the best learner of each way.

    Its parts are those between :data:`TOGETHER` points of the running score.
    """
    firsts: dict[Way, Result] = {}
    for result in comparison.ranked:
        firsts.setdefault(result.entrant.way, result)
    key = f"recent_{comparison.measures[0].key}"
    return _chart(comparison, [(each, _averaged(_points(each, key))) for each in firsts.values()], space)


def _chart(
    comparison: Comparison, lines_of: Sequence[tuple[Result, list[tuple[float, float]]]], space: float
) -> Chart | None:
    measure = comparison.measures[0]
    drawn = [(result, points) for result, points in lines_of if points]
    if not drawn:
        return None
    low, high = _ends([points for _, points in drawn], measure, comparison.rows)
    ends = [(points[-1][1] - low) / (high - low) for _, points in drawn]
    places = _spread(ends, space)
    used: Counter[Way] = Counter()
    lines = []
    for (result, points), end, place in zip(drawn, ends, places, strict=True):
        way = result.entrant.way
        lines.append(
            Line(
                label=_label(comparison, result),
                way=way,
                dashes=DASHES[used[way] % len(DASHES)],
                best=result is drawn[0][0],
                points=points,
                label_at=place,
                beyond="↑" if end > 1.01 else "↓" if end < -0.01 else "",
            )
        )
        used[way] += 1
    marks = [(value, _mark(value, measure)) for value in _steps(low, high, 5)]
    rows = [(value, f"{value:,.0f}") for value in _steps(0, comparison.rows, 6)]
    return Chart(lines, comparison.rows, low, high, marks, rows)


def _label(comparison: Comparison, result: Result) -> str:
    measure = comparison.measures[0]
    partial = "" if comparison.whole(result) else f" (first {result.outcome.rows:,})"
    return f"{result.entrant.name} {plain(result, measure)}{partial}"


def _averaged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the mean score of every few points; where the last one of them was."""
    groups = [points[start : start + TOGETHER] for start in range(0, len(points), TOGETHER)]
    return [(group[-1][0], sum(score for _, score in group) / len(group)) for group in groups]


def _points(result: Result, key: str) -> list[tuple[float, float]]:
    curve = result.outcome.curve
    pairs = zip(curve["rows"], curve.get(key, ()), strict=False)
    return [(rows, score) for rows, score in pairs if rows is not None and score is not None]


def _ends(lines: Sequence[Sequence[tuple[float, float]]], measure: Measure, rows: int) -> tuple[float, float]:
    """Return where the vertical axis begins and ends: at settled scores, and not where one of them has run away."""
    settled = [[score for at, score in points if at >= _SETTLING * rows] or [points[-1][1]] for points in lines]
    if not measure.higher:
        best = min(scores[-1] for scores in settled)
        near = [scores for scores in settled if max(scores) <= _FAR * best] or [min(settled, key=max)]
        settled = near
    low, high = min(map(min, settled)), max(map(max, settled))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    return (max(low, 0.0), min(high, 1.0)) if measure.share else (low, high)


def _spread(ends: Sequence[float], space: float) -> list[float]:
    """Return places for labels near the ends of their lines, none of them over another where there is room."""
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


def _steps(low: float, high: float, most: int) -> list[float]:
    """Return round values within an axis, at most one more than `most`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _mark(value: float, measure: Measure) -> str:
    return f"{value:.4g}" if not measure.share else f"{value * 100:.4g}%"
