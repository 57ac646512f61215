"""A chart as SVG within a page: its colours come from the page's style, so that they suit a light and a dark screen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape

from service.measuring.chart import Bound, Chart, Line


@dataclass(frozen=True, slots=True)
class Frame:
    """The room of a drawing, in units of about a pixel.

    Attributes
    ----------
    width, height
        Of all of it.
    left, right, top, foot
        Margins: for the vertical axis, the names of the lines, the vertical axis's name, and the horizontal axis.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    foot: int

    @property
    def across(self) -> int:
        """Width of the chart itself."""
        return self.width - self.left - self.right

    @property
    def up(self) -> int:
        """Height of the chart itself."""
        return self.height - self.top - self.foot

    def for_names(self, names: Iterable[str]) -> "Frame":
        """Return a frame that is wider by the room that names at the ends of lines take."""
        longest = max(map(len, names), default=0)
        # The lead takes 24, a letter hardly more than 7.
        return replace(self, width=self.width + 24 + 7 * longest, right=self.right + 24 + 7 * longest)

    def label(self) -> float:
        """Return the height of a label, as a share of the chart's."""
        return 17 / self.up

    def x(self, place: float) -> float:
        """Return where a place on the horizontal axis is drawn."""
        return round(self.left + self.across * place, 1)

    def y(self, place: float) -> float:
        """Return where a place on the vertical axis is drawn."""
        return round(self.top + self.up * (1 - place), 1)


def draw(chart: Chart, frame: Frame, name: str, title: str, description: str) -> str:
    """Return a chart as an ``svg`` element.

    Parameters
    ----------
    chart
        What is drawn.
    frame
        How large.
    name
        Of the element; unlike any other on the page.
    title, description
        For those who cannot see it.
    """
    lines = "".join(_line(chart, frame, line, f"url(#{name}-inside)") for line in reversed(chart.lines))
    bound = _bound(chart, frame, chart.bound) if chart.bound else ""
    return (
        f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>'
        f'<clipPath id="{name}-inside"><rect x="{frame.left}" y="{frame.top - 2}" width="{frame.across}" '
        f'height="{frame.up + 4}"/></clipPath>{_axes(chart, frame)}{bound}{lines}</svg>'
    )


def _axes(chart: Chart, frame: Frame) -> str:
    """Return both axes, their marks, and a faint line across at each."""
    marks, left, foot, right = [], frame.left, frame.top + frame.up, frame.left + frame.across
    if chart.up.name:
        marks.append(f'<text class="mark" x="0" y="{frame.top - 12}">{escape(chart.up.name)}</text>')
    for value, text in chart.up.marks:
        y = frame.y(chart.up.place(value))
        marks.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        marks.append(f'<text class="mark" x="{left - 8}" y="{y}" text-anchor="end" dy="0.35em">{escape(text)}</text>')
    for value, text in chart.across.marks:
        x = frame.x(chart.across.place(value))
        marks.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{foot}" y2="{foot + 5}"/>')
        marks.append(f'<text class="mark" x="{x}" y="{foot + 19}" text-anchor="middle">{escape(text)}</text>')
    marks.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{foot}" y2="{foot}"/>')
    middle, name = left + frame.across / 2, escape(chart.across.name)
    marks.append(f'<text class="mark" x="{middle}" y="{frame.height - 6}" text-anchor="middle">{name}</text>')
    return "".join(marks)


def _bound(chart: Chart, frame: Frame, bound: Bound) -> str:
    """Return a bound as a line across, and what it is beside it."""
    y = frame.y(_near(chart.up.place(bound.value)))
    x, anchor = (frame.left + frame.across - 6, "end") if bound.at_end else (frame.left + 6, "start")
    return (
        f'<g class="bound"><line x1="{frame.left}" x2="{frame.left + frame.across}" y1="{y}" y2="{y}"/>'
        f'<text x="{x}" y="{y + 15 if bound.at_end else y - 5}" text-anchor="{anchor}">{escape(bound.told)}</text></g>'
    )


def _line(chart: Chart, frame: Frame, line: Line, inside: str) -> str:
    """Return a line, its marked points, its name, and what leads from the one to the other."""
    points = " ".join(
        f"{frame.x(chart.across.place(across))},{frame.y(_near(chart.up.place(up)))}" for across, up in line.points
    )
    dashes = f' stroke-dasharray="{" ".join(map(str, line.dashes))}"' if line.dashes else ""
    best = " best" if line.best else ""
    return (
        f'<g class="{line.style}{best}"><title>{_told(line)}</title>'
        f'<polyline clip-path="{inside}" points="{points}"{dashes}/>{"".join(_dots(chart, frame, line))}'
        f"{_label(chart, frame, line) if line.label else ''}</g>"
    )


def _told(line: Line) -> str:
    return escape(f"{line.label} {line.beyond}".rstrip())


def _dots(chart: Chart, frame: Frame, line: Line) -> Iterator[str]:
    for dot in line.dots:
        x, y = frame.x(chart.across.place(dot.at[0])), frame.y(_within(chart.up.place(dot.at[1])))
        told = f"<title>{escape(dot.told)}</title>" if dot.told else ""
        if dot.span:
            low, high = (frame.y(_within(chart.up.place(end))) for end in dot.span)
            yield f'<line class="span" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        if dot.ring:
            yield f'<circle class="ring" cx="{x}" cy="{y}" r="9"/>'
        kind, size = ' class="hollow"' if dot.hollow else "", 4 if dot.told else 3
        yield f'<circle{kind} cx="{x}" cy="{y}" r="{size}"{f">{told}</circle>" if told else "/>"}'


def _label(chart: Chart, frame: Frame, line: Line) -> str:
    """Return the name of a line, and what leads to it from the line's end."""
    end, score = line.end
    x, y = frame.x(chart.across.place(end)), frame.y(_within(chart.up.place(score)))
    right, label = frame.left + frame.across, frame.y(line.label_at)
    return (
        f'<polyline class="lead" points="{x},{y} {right},{y} {right + 18},{label}"/>'
        f'<text x="{right + 24}" y="{label}" dy="0.35em">{_told(line)}</text>'
    )


def _within(place: float) -> float:
    return min(max(place, 0.0), 1.0)


def _near(place: float) -> float:
    """Return a place, or one that is certainly off the chart: a page need not hold numbers of any size."""
    return min(max(place, -10.0), 10.0)
