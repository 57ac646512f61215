"""The chart of a comparison as a picture (PNG); needs matplotlib, which is an extra."""

from pathlib import Path
from textwrap import wrap

from service.comparing.chart import COLOURS, legend, running
from service.comparing.comparison import Comparison
from service.comparing.words import conclusion, method
from service.measuring.plotting import new_figure, plot

_LABEL = 0.048  # height of a label, as a share of the chart's
_ACROSS = 150  # characters in a line of small print


def draw_picture(comparison: Comparison, path: Path) -> bool:
    """Draw the chart into a file; return False where matplotlib is missing, or there is nothing to draw."""
    chart, figure = running(comparison, _LABEL), new_figure(11, 6.2)
    if chart is None or figure is None:
        return False
    axes = figure.add_axes((0.07, 0.09, 0.71, 0.68))
    figure.text(0.03, 0.945, conclusion(comparison), fontsize=12, fontweight="bold", va="center", wrap=True)
    told = "\n".join(wrap(f"{comparison.stream}: {method(comparison)}", _ACROSS))
    figure.text(0.03, 0.865, told, fontsize=9.5, color="#444", va="center")
    plot(axes, chart, COLOURS)
    measure = comparison.measures[0]
    axes.set_ylabel(f"{measure.name} so far ({'higher' if measure.higher else 'lower'} is better)")
    across = 0.07
    for way, meaning in legend(chart, comparison.delay).items():
        figure.text(across, 0.805, f"— {meaning}", fontsize=9, color=COLOURS[way][0], va="center")
        across += 0.04 + 0.0061 * len(meaning)
    figure.savefig(path)
    return True
