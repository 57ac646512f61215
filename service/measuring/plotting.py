"""A chart drawn with matplotlib, on white. It is an extra: without it there is no picture."""

from typing import TYPE_CHECKING

from service.measuring.chart import Chart, Colours, Line, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOUND = "#b0184a"


def new_figure(width: float, height: float) -> "Figure | None":
    """Return an empty figure of so many inches; None where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        return None
    return Figure(figsize=(width, height), dpi=144, facecolor="white")


def plot(axes: "Axes", chart: Chart, colours: Colours) -> None:
    """Draw the lines of a chart, the worst first, with their names beside their ends."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([chart.up.place(value) for value, _ in chart.up.marks], [text for _, text in chart.up.marks])
    across = chart.across
    axes.set_xticks([across.place(value) for value, _ in across.marks], [text for _, text in across.marks])
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(across.name)
    if chart.bound is not None:
        place = chart.up.place(chart.bound.value)
        axes.axhline(place, color=_BOUND, linewidth=1.2, linestyle="--")
        at_end = chart.bound.at_end
        side = {"ha": "right", "va": "top"} if at_end else {"ha": "left", "va": "bottom"}
        style = {"color": _BOUND, "fontsize": 8.5, **side}
        axes.text(0.99 if at_end else 0.01, place + (-0.015 if at_end else 0.01), chart.bound.told, style)
    for line in reversed(chart.lines):
        _plot_line(axes, chart, line, colours[line.style][0])


def _plot_line(axes: "Axes", chart: Chart, line: Line, colour: str) -> None:
    pattern = (0, line.dashes) if line.dashes else "-"
    places = [_place(chart, point) for point in line.points]
    if places:
        axes.plot(*zip(*places, strict=True), color=colour, linestyle=pattern, linewidth=2.8 if line.best else 1.5)
    for dot in line.dots:
        across, up = _place(chart, dot.at)
        up = min(max(up, 0.0), 1.0)
        size = 5.5 if line.best else 4
        inside = "white" if dot.hollow else colour
        axes.plot(across, up, color=colour, marker="o", markersize=size, markerfacecolor=inside, clip_on=False)
        if dot.span:
            ends = [chart.up.place(end) for end in dot.span]
            axes.plot([across, across], ends, color=colour, linewidth=1.2)
        if dot.ring:
            ring = {"markersize": 13.0, "markerfacecolor": "none", "markeredgewidth": 1.8}
            axes.plot(across, up, color=colour, marker="o", clip_on=False, **ring)  # type: ignore[arg-type]  # as plot() takes it
    if line.label:
        _label(axes, line, _place(chart, line.end), colour)


def _place(chart: Chart, point: Point) -> Point:
    return chart.across.place(point[0]), chart.up.place(point[1])


def _label(axes: "Axes", line: Line, end: tuple[float, float], colour: str) -> None:
    """Write a line's name, and lead to it: through the margin, and back to where a line ends early."""
    at = min(max(end[1], 0.0), 1.0)
    lead = ([end[0], 1.0, 1.025], [at, at, line.label_at])
    axes.plot(*lead, transform=axes.transAxes, color=colour, linewidth=0.6, linestyle=":", clip_on=False)
    text = f"{line.label} {line.beyond}".rstrip()
    weight = "bold" if line.best else "normal"
    style = {"color": colour, "fontsize": 9.5, "fontweight": weight, "va": "center"}
    axes.text(1.03, line.label_at, text, style, transform=axes.transAxes)
