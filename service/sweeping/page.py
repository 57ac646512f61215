"""A sweep as one page: it needs no network and no script, and is read by people and by what reads to them."""

from html import escape
from pathlib import Path
from string import Template

from service.measuring.drawing import Frame, draw
from service.measuring.page_style import page_style
from service.sweeping.charts import COLOURS, Panel, legend, panels
from service.sweeping.result import Measured, Sweep
from service.sweeping.table import columns, row
from service.sweeping.words import conclusion, method, notes

_TEMPLATE = Path(__file__).parent / "templates" / "page.html"

_FRAME = Frame(width=480, height=300, left=48, right=16, top=16, foot=44)


def make_page(sweep: Sweep) -> str:
    """Return the page."""
    several = len(legend(sweep)) > 1
    frame = _FRAME.for_names(legend(sweep)) if several else _FRAME
    drawn = panels(sweep, frame.label())
    told = notes(sweep)
    head = [f'<th scope="col">{escape(name)}</th>' for name in columns(sweep)]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        stream=escape(sweep.stream),
        style=page_style(COLOURS),
        conclusion=escape(conclusion(sweep)),
        method=escape(method(sweep)),
        configuration=f"<pre>{escape(sweep.configuration().rstrip())}</pre>",
        notes=f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in told)}</ul>" if told else "",
        legend=_legend(sweep) if several else "",
        panels="\n".join(_figure(sweep, panel, frame) for panel in drawn) or "<p>There is nothing to draw.</p>",
        head="".join(head),
        rows="\n".join(_row(sweep, each) for each in sweep.cells),
        machine=escape(_machine(sweep)),
    )


def _figure(sweep: Sweep, panel: Panel, frame: Frame) -> str:
    """Return a chart with its title and how it is to be read."""
    said = "; ".join(dot.told for line in panel.chart.lines for dot in line.dots)
    description = f"{conclusion(sweep)} By the size of a microbatch: {said}."
    drawing = draw(panel.chart, frame, panel.drawn.key, panel.drawn.title, description)
    return (
        f"<figure><figcaption><strong>{escape(panel.drawn.title)}</strong><br>{escape(panel.drawn.caption)}"
        f"</figcaption>{drawing}</figure>"
    )


def _legend(sweep: Sweep) -> str:
    """Return what the colours mean."""
    entries = [f'<li><span class="{style}"></span>{escape(name)}</li>' for name, style in legend(sweep).items()]
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _row(sweep: Sweep, measured: Measured) -> str:
    """Return a cell's row of the table."""
    name, *cells = row(sweep, measured)
    best = sweep.best()
    marked = ' class="best"' if best is not None and measured is best[0] else ""
    if not measured.throughput:
        cells = cells[:-1]
        missing = len(columns(sweep)) - len(cells) - 1
        rest = f'<td colspan="{missing}">{escape(measured.outcome.error or "no update could be timed")}</td>'
    else:
        rest = ""
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr{marked}><th scope="row">{escape(name)}</th>{shown}{rest}</tr>'


def _machine(sweep: Sweep) -> str:
    cards = ", ".join(name for name in sweep.devices.values() if name != "CPU")
    return f"{sweep.machine}, {f'{cards}, ' if cards else ''}{sweep.threads} threads for each operation"
