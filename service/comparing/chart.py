"""The running score of every learner as lines of a chart, each with its name and score at its right end.

Colours say how a learner learns.
"""

from collections import Counter
from collections.abc import Sequence

from service.comparing.comparison import Comparison, Result
from service.comparing.learner_names import Way
from service.comparing.words import plain
from service.measuring.chart import DASHES, Axis, Chart, Colours, Dot, Line, Point, spread, steps
from service.measuring.measures import Measure, mark

COLOURS: Colours = {
    "microbatch": ("#0b62c4", "#6cb0ff"),
    "online": ("#087a55", "#4fd1a1"),
    "batch": ("#b3480d", "#ff9d5c"),
    "baseline": ("#6b7280", "#9ca3af"),
}
"""Way of learning → its colours."""

_WAYS: dict[str, str] = {
    "microbatch": "in microbatches of {delay:,} rows, or as many as behind the @",
    "online": "one event at a time",
    "batch": "batch training, again every so often",
    "baseline": "baseline",
}

TOGETHER = 5
"""Points of the curve that are one of the recent chart: fewer would show more chance than change."""

_SETTLING = 0.1  # share of the stream after which a running score says something
_FAR = 3.0  # times the best error beyond which a line may leave the chart


def legend(chart: Chart, delay: int) -> dict[str, str]:
    """Return what the colours of a chart mean; rows are learned `delay` at a time where nothing else is said."""
    return {way: _WAYS[way].format(delay=delay) for way in dict.fromkeys(line.style for line in chart.lines)}


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


def _chart(comparison: Comparison, lines_of: Sequence[tuple[Result, list[Point]]], space: float) -> Chart | None:
    measure = comparison.measures[0]
    drawn = [(result, points) for result, points in lines_of if points]
    if not drawn:
        return None
    low, high = _ends([points for _, points in drawn], measure, comparison.rows)
    ends = [(points[-1][1] - low) / (high - low) for _, points in drawn]
    places = spread(ends, space)
    used: Counter[str] = Counter()
    lines = []
    for (result, points), end, place in zip(drawn, ends, places, strict=True):
        way, beyond = result.entrant.way, "↑" if end > 1.01 else "↓" if end < -0.01 else ""
        lines.append(
            Line(
                label=_label(comparison, result),
                style=way,
                dashes=DASHES[used[way] % len(DASHES)],
                best=result is drawn[0][0],
                points=points,
                label_at=place,
                beyond=beyond,
                dots=() if beyond else (Dot(points[-1]),),
            )
        )
        used[way] += 1
    marks = [(value, mark(value, measure)) for value in steps(low, high, 5)]
    rows = [(value, f"{value:,.0f}") for value in steps(0, comparison.rows, 6)]
    return Chart(lines, Axis(0, comparison.rows, rows, "rows"), Axis(low, high, marks))


def _label(comparison: Comparison, result: Result) -> str:
    measure = comparison.measures[0]
    partial = "" if comparison.whole(result) else f" (first {result.outcome.rows:,})"
    return f"{result.entrant.name} {plain(result, measure)}{partial}"


def _averaged(points: Sequence[Point]) -> list[Point]:
    """Return the mean score of every few points; where the last one of them was."""
    groups = [points[start : start + TOGETHER] for start in range(0, len(points), TOGETHER)]
    return [(group[-1][0], sum(score for _, score in group) / len(group)) for group in groups]


def _points(result: Result, key: str) -> list[Point]:
    curve = result.outcome.curve
    pairs = zip(curve["rows"], curve.get(key, ()), strict=False)
    return [(rows, score) for rows, score in pairs if rows is not None and score is not None]


def _ends(lines: Sequence[Sequence[Point]], measure: Measure, rows: int) -> Point:
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
