"""A comparison as a table on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from service.comparing.comparison import Comparison, Result
from service.comparing.words import conclusion, method, notes
from service.measuring.measures import number
from service.measuring.quantities import amount, duration, memory

_SCORES = 3  # columns of scores; the rest is in the JSON


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{comparison.stream}: {method(comparison)}", title_justify="left")
    table.add_column("learner")
    measures = comparison.measures[:_SCORES]
    for name in (*(measure.name for measure in measures), "events/s", "memory", "time", "rows"):
        table.add_column(name, justify="right")
    for place, result in enumerate(comparison.results):
        table.add_row(*_cells(comparison, result), style="bold" if place == 0 else None)
    console.print(table)
    for told in (conclusion(comparison), *notes(comparison)):
        console.print(told, highlight=False, soft_wrap=True, markup=False)


def _cells(comparison: Comparison, result: Result) -> list[str]:
    outcome = result.outcome
    if outcome.error:
        return [result.entrant.name, "failed"]
    return [
        result.entrant.name,
        *(number(result.score(measure), measure) for measure in comparison.measures[:_SCORES]),
        amount(result.events_per_second),
        memory(outcome.memory_bytes),
        duration(outcome.seconds),
        "all" if comparison.whole(result) else f"first {outcome.rows:,}",
    ]
