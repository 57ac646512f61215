"""A chart as SVG within a page: its colours come from the page's style, so that they suit a light and a dark screen."""

from html import escape

from service.comparing.chart import Chart, Line

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _FOOT = 62, 220, 12, 44  # margins: for the axis, the names, and the rows
_ACROSS, _UP = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT

LABEL = 17 / _UP
"""Height of a label, as a share of the chart's."""


def draw(chart: Chart, name: str, title: str, description: str) -> str:
    """Return a chart as an ``svg`` element.

    Parameters
    ----------
    chart
        What is drawn.
    name
        Of the element; unlike any other on the page.
    title, description
        For those who cannot see it.
    """
    lines = "".join(_line(chart, line, f"url(#{name}-inside)") for line in reversed(chart.lines))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>'
        f'<clipPath id="{name}-inside"><rect x="{_LEFT}" y="{_TOP - 2}" width="{_ACROSS}" height="{_UP + 4}"/>'
        f"</clipPath>{_axes(chart)}{lines}</svg>"
    )


def _axes(chart: Chart) -> str:
    """Return both axes, their marks, and a faint line across at each."""
    marks = []
    for value, text in chart.marks:
        y = _y(chart.height(value))
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _ACROSS}" y1="{y}" y2="{y}"/>')
        marks.append(f'<text class="mark" x="{_LEFT - 8}" y="{y}" text-anchor="end" dy="0.35em">{escape(text)}</text>')
    for value, text in chart.row_marks:
        x, y = _x(chart, value), _TOP + _UP
        marks.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{y}" y2="{y + 5}"/>')
        marks.append(f'<text class="mark" x="{x}" y="{y + 19}" text-anchor="middle">{escape(text)}</text>')
    foot = _TOP + _UP
    marks.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + _ACROSS}" y1="{foot}" y2="{foot}"/>')
    marks.append(f'<text class="mark" x="{_LEFT + _ACROSS / 2}" y="{_HEIGHT - 6}" text-anchor="middle">rows</text>')
    return "".join(marks)


def _line(chart: Chart, line: Line, inside: str) -> str:
    """Return a line, its name, and what leads from the one to the other."""
    points = " ".join(f"{_x(chart, rows)},{_y(_bounded(chart.height(score)))}" for rows, score in line.points)
    end, score = line.points[-1]
    x, y = _x(chart, end), _y(min(max(chart.height(score), 0.0), 1.0))
    right, label = _LEFT + _ACROSS, _y(line.label_at)
    dashes = f' stroke-dasharray="{" ".join(map(str, line.dashes))}"' if line.dashes else ""
    text = escape(f"{line.label} {line.beyond}".rstrip())
    best = " best" if line.best else ""
    dot = "" if line.beyond else f'<circle cx="{x}" cy="{y}" r="3"/>'
    return (
        f'<g class="{line.way}{best}"><title>{text}</title>'
        f'<polyline clip-path="{inside}" points="{points}"{dashes}/>{dot}'
        f'<polyline class="lead" points="{x},{y} {right},{y} {right + 18},{label}"/>'
        f'<text x="{right + 24}" y="{label}" dy="0.35em">{text}</text></g>'
    )


def _bounded(height: float) -> float:
    """Return a height, or one that is certainly off the chart: a page need not hold numbers of any size."""
    return min(max(height, -10.0), 10.0)


def _x(chart: Chart, rows: float) -> float:
    return round(_LEFT + _ACROSS * rows / chart.rows, 1)


def _y(height: float) -> float:
    return round(_TOP + _UP * (1 - height), 1)
