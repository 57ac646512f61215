"""A comparison as one page: it needs no network and no script, and is read by people and by what reads to them."""

from html import escape
from pathlib import Path
from string import Template

from service.comparing.chart import COLOURS, TOGETHER, legend, recent, running
from service.comparing.comparison import Comparison, Result
from service.comparing.outcome import POINTS
from service.comparing.words import conclusion, method, notes
from service.measuring.chart import Chart
from service.measuring.drawing import Frame, draw
from service.measuring.measures import number
from service.measuring.page_style import page_style
from service.measuring.quantities import amount, duration, memory

_TEMPLATE = Path(__file__).parent / "templates" / "page.html"

_FRAME = Frame(width=960, height=420, left=62, right=220, top=12, foot=44)

_PART = f"{100 * TOGETHER // POINTS} %"  # of the stream, in the chart of its parts


def make_page(comparison: Comparison) -> str:
    """Return the page."""
    measure = comparison.measures[0]
    better = "Higher" if measure.higher else "Lower"
    whole, parts = running(comparison, _FRAME.label()), recent(comparison, _FRAME.label())
    told, score = notes(comparison), measure.name.capitalize()
    beyond = whole is not None and any(line.beyond for line in whole.lines)
    arrow = " An arrow says that a line ends off the chart." if beyond else ""
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        stream=escape(comparison.stream),
        style=page_style(COLOURS),
        conclusion=escape(conclusion(comparison)),
        method=escape(method(comparison)),
        notes=f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in told)}</ul>" if told else "",
        running_caption=f"{score} so far. {better} is better.{arrow}",
        running=_drawn(whole, "running", f"{score} so far", comparison),
        legend=_legend(whole, comparison.delay),
        recent_caption=f"{score} over each {_PART} of the stream by itself: where the stream "
        "changes, and who follows. The best of each way to learn; the numbers are those of the whole stream.",
        recent=_drawn(parts, "recent", f"{score} over each {_PART}", comparison),
        head="".join(f'<th scope="col">{escape(name)}</th>' for name in _head(comparison)),
        rows="\n".join(_row(comparison, result) for result in comparison.results),
    )


def _drawn(chart: Chart | None, name: str, title: str, comparison: Comparison) -> str:
    if chart is None:
        return "<p>There is nothing to draw.</p>"
    said = ", ".join(line.label for line in chart.lines)
    return draw(chart, _FRAME, name, title, f"{conclusion(comparison)} At the end of the stream: {said}.")


def _legend(chart: Chart | None, delay: int) -> str:
    """Return what the colours mean."""
    ways = legend(chart, delay) if chart else {}
    entries = "".join(f'<li><span class="{way}"></span>{escape(meaning)}</li>' for way, meaning in ways.items())
    return f'<ul class="legend">{entries}</ul>'


def _head(comparison: Comparison) -> list[str]:
    names = [measure.name for measure in comparison.measures]
    return ["learner", *names, "events/s", "memory", "time", "rows"]


def _row(comparison: Comparison, result: Result) -> str:
    """Return a learner's row of the table."""
    outcome = result.outcome
    name = f'<th scope="row" class="{result.entrant.way}">{escape(result.entrant.name)}</th>'
    if outcome.error:
        return f'<tr>{name}<td colspan="{len(_head(comparison)) - 1}">{escape(outcome.error)}</td></tr>'
    cells = [
        *(number(result.score(measure), measure) for measure in comparison.measures),
        amount(result.events_per_second),
        memory(outcome.memory_bytes),
        duration(outcome.seconds),
        "all" if comparison.whole(result) else f"first {outcome.rows:,}",
    ]
    return f"<tr>{name}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
