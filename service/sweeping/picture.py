"""The charts of a sweep as a picture (PNG); needs matplotlib, which is an extra."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from service.measuring.plotting import new_figure, plot
from service.sweeping.charts import COLOURS, legend, panels
from service.sweeping.result import Sweep
from service.sweeping.words import conclusion, method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABEL = 0.07  # height of a label, as a share of a chart's
_ACROSS = 170  # characters in a line of small print
_TITLE = 110  # characters in a line of the title
_COLUMNS = 3


def draw_picture(sweep: Sweep, path: Path) -> bool:
    """Draw the charts into a file; return False where matplotlib is missing, or there is nothing to draw."""
    drawn, figure = panels(sweep, _LABEL), new_figure(14, 8.4)
    if not drawn or figure is None:
        return False
    several = len(legend(sweep)) > 1
    figure.text(0.03, 0.955, "\n".join(wrap(conclusion(sweep), _TITLE)), fontsize=13, fontweight="bold", va="center")
    told = "\n".join(wrap(f"{sweep.stream}: {method(sweep)}", _ACROSS))
    figure.text(0.03, 0.89, told, fontsize=9.5, color="#444", va="center")
    width = 0.255 - 0.004 * max(map(len, legend(sweep))) if several else 0.27
    for place, panel in enumerate(drawn):
        row, column = divmod(place, _COLUMNS)
        axes = figure.add_axes((0.05 + column * 0.325, 0.49 - row * 0.43, width, 0.31))
        axes.set_title(panel.drawn.title, fontsize=11, fontweight="bold", loc="left")
        plot(axes, panel.chart, COLOURS)
        axes.tick_params("x", labelsize=7.5)  # sizes stand close
        axes.tick_params("y", labelsize=8.5)
    _explain(sweep, figure)
    figure.savefig(path)
    return True


def _explain(sweep: Sweep, figure: "Figure") -> None:
    """Write what colours and marks mean, and the lines of the configuration, into the room that is left."""
    across, up = 0.05 + (_COLUMNS - 1) * 0.325, 0.36
    told = ["○ around a dot: the setting that is named", "bars: the slowest and fastest fifth of the run"]
    told += ["update time: whole line median, dotted 99th percentile"]
    if not all(map(sweep.whole, sweep.timed)):
        told.append("hollow dot: stopped early, so scored over other rows")
    for name, style in legend(sweep).items() if len(legend(sweep)) == 1 else ():  # several have their names beside them
        figure.text(across, up, f"— {name}", fontsize=9.5, color=COLOURS[style][0], va="top")
        up -= 0.025
    figure.text(across, up, "\n".join(told), fontsize=9, color="#444", va="top", linespacing=1.4)
    lines = f"headrace.yaml\n\n{sweep.configuration()}"
    figure.text(across, 0.21, lines, fontsize=8.5, family="monospace", va="top", linespacing=1.4)
