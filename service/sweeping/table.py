"""A sweep as a table on the terminal, and its cells as text for a page."""

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from service.measuring.measures import number
from service.measuring.quantities import memory, milliseconds, rate
from service.sweeping.result import Measured, Sweep
from service.sweeping.words import conclusion, method, notes


def show(sweep: Sweep, console: Console) -> None:
    """Print a sweep, what it comes to, and the lines that configure it."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{sweep.stream}: {method(sweep)}", title_justify="left")
    for name in columns(sweep):
        justify: JustifyMethod = "left" if name in ("learner", "device") else "right"
        table.add_column(name.replace(" ", "\n"), justify=justify, no_wrap=True)
    best = sweep.best()
    for each in sweep.cells:
        table.add_row(*row(sweep, each), style="bold" if best and each is best[0] else None)
    console.print(table)
    said = [conclusion(sweep), *notes(sweep)]
    if best:
        said.append(f"in headrace.yaml:\n\n{sweep.configuration()}")
    for told in said:
        console.print(told, highlight=False, soft_wrap=True, markup=False)


def columns(sweep: Sweep) -> list[str]:
    """Return the names of the columns."""
    names = ["learner", "device", "microbatch", "events/s", "update", "p99", "added delay", "memory"]
    return [*names, *(["device memory"] if _cards(sweep) else []), sweep.measure.name, "rows"]


def row(sweep: Sweep, measured: Measured) -> list[str]:
    """Return a cell's row, as text."""
    cell, outcome, timing = measured.cell, measured.outcome, measured.timing
    called = [cell.learner, cell.device, f"{cell.size:,}"]
    if timing is None or outcome.error:
        return [*called, "failed"]
    steadiness = measured.steadiness
    return [
        *called,
        rate(measured.throughput) + ("" if steadiness is None else f" ±{steadiness:3.0%}"),
        milliseconds(timing.median),
        milliseconds(timing.p99),
        milliseconds(sweep.delay(measured)) if sweep.sustains(measured) else "too slow",
        memory(outcome.memory_bytes),
        *([memory(outcome.device_memory_bytes or None)] if _cards(sweep) else []),
        number(measured.score(sweep.measure), sweep.measure),
        "all" if sweep.whole(measured) else f"{outcome.rows:,}",
    ]


def _cards(sweep: Sweep) -> bool:
    """Return whether an accelerator is among the devices."""
    return any(device != "cpu" for device in sweep.devices)
