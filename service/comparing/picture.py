"""The chart of a comparison as a picture (PNG); needs matplotlib, which is an extra."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from service.comparing.chart import COLOURS, Chart, legend, running
from service.comparing.comparison import Comparison
from service.comparing.words import conclusion, method

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 0.048  # height of a label, as a share of the chart's
_ACROSS = 150  # characters in a line of small print


def write_picture(comparison: Comparison, folder: Path) -> Path | None:
    """Write ``comparison.png`` and return its path; None where matplotlib is missing, or there is nothing to draw."""
    chart = running(comparison, _LABEL)
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        return None
    if chart is None:
        return None
    figure = Figure(figsize=(11, 6.2), dpi=144, facecolor="white")
    axes = figure.add_axes((0.07, 0.09, 0.71, 0.68))
    figure.text(0.03, 0.945, conclusion(comparison), fontsize=12, fontweight="bold", va="center", wrap=True)
    told = "\n".join(wrap(f"{comparison.stream}: {method(comparison)}", _ACROSS))
    figure.text(0.03, 0.865, told, fontsize=9.5, color="#444", va="center")
    _draw(axes, chart)
    measure = comparison.measures[0]
    axes.set_ylabel(f"{measure.name} so far ({'higher' if measure.higher else 'lower'} is better)")
    axes.set_xlabel("rows")
    across = 0.07
    for way, meaning in legend(chart, comparison.delay).items():
        figure.text(across, 0.805, f"— {meaning}", fontsize=9, color=COLOURS[way][0], va="center")
        across += 0.04 + 0.0061 * len(meaning)
    path = folder / "comparison.png"
    figure.savefig(path)
    return path


def _draw(axes: "Axes", chart: Chart) -> None:
    """Draw the lines, the worst first, with their names beside their ends."""
    axes.set_xlim(0, chart.rows)
    axes.set_ylim(chart.low, chart.high)
    axes.set_yticks([value for value, _ in chart.marks], [text for _, text in chart.marks])
    axes.set_xticks([value for value, _ in chart.row_marks], [text for _, text in chart.row_marks])
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    for line in reversed(chart.lines):
        colour = COLOURS[line.way][0]
        pattern = (0, line.dashes) if line.dashes else "-"
        width = 2.8 if line.best else 1.5
        axes.plot(*zip(*line.points, strict=True), color=colour, linestyle=pattern, linewidth=width)
        end, score = line.points[-1]
        if not line.beyond:
            axes.plot(end, score, color=colour, marker="o", markersize=5.5 if line.best else 4, clip_on=False)
        height = chart.height(score)
        # From the end of the line to its name: through the margin, and back to where a partial line ends.
        at = min(max(height, 0.0), 1.0)
        lead = ([end / chart.rows, 1.0, 1.025], [at, at, line.label_at])
        axes.plot(*lead, transform=axes.transAxes, color=colour, linewidth=0.6, linestyle=":", clip_on=False)
        text = f"{line.label} {line.beyond}".rstrip()
        weight = "bold" if line.best else "normal"
        style = {"color": colour, "fontsize": 9.5, "fontweight": weight, "va": "center"}
        axes.text(1.03, line.label_at, text, style, transform=axes.transAxes)
