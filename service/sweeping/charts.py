"""The charts of a sweep: one for each quantity, all over the same sizes, a line for each learner and device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.measuring.axes import linear_axis, logarithmic_axis
from service.measuring.chart import DASHES, Chart, Colours, Dot, Line, spread
from service.sweeping.drawn import Drawn, Part, drawn
from service.sweeping.result import Measured, Sweep
from service.sweeping.words import label

COLOURS: Colours = {
    "first": ("#0b62c4", "#6cb0ff"),
    "second": ("#b3480d", "#ff9d5c"),
    "third": ("#087a55", "#4fd1a1"),
    "fourth": ("#8a3ab9", "#cf9bff"),
    "fifth": ("#6b7280", "#9ca3af"),
}
"""Learners and devices, in their order → colours; from the sixth on they come again, and names tell them apart."""

_DEVICES = (DASHES[0], DASHES[1], DASHES[3])
"""Dashes of the first device, the second and so on; the dots that are left mean something else in some charts."""

Series = tuple[str, str]
"""A learner, on a device."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A quantity, and its chart."""

    drawn: Drawn
    chart: Chart


def panels(sweep: Sweep, space: float) -> list[Panel]:
    """Return the charts of a sweep, the most important first; none where nothing was measured.

    Parameters
    ----------
    sweep
        What to draw.
    space
        Height of a label, as a share of a chart's.
    """
    found = [(each, _chart(sweep, each, space)) for each in drawn(sweep)]
    return [Panel(each, chart) for each, chart in found if chart is not None]


def legend(sweep: Sweep) -> dict[str, str]:
    """Return the style of each learner on each device, by what it is called."""
    return {f"{learner} on {device}": _style(sweep, (learner, device)) for learner, device in _series(sweep)}


def _chart(sweep: Sweep, quantity: Drawn, space: float) -> Chart | None:
    lines = [
        line
        for part in quantity.parts
        for series in _series(sweep)
        if (line := _line(sweep, quantity, part, series)) is not None
    ]
    if not lines:
        return None
    values = [value for line in lines for dot in line.dots for value in (dot.at[1], *dot.span)]
    bounds = [quantity.bound.value] if quantity.bound else []
    if quantity.linear:
        up = linear_axis([*values, *quantity.ends], quantity.written, most=quantity.most)
    else:
        up = logarithmic_axis(values + bounds, quantity.written)
    sizes = sorted({each.cell.size for each in sweep.timed})
    across = logarithmic_axis(sizes, lambda size: f"{size:,.0f}", sizes, "events in a microbatch")
    places = spread([up.place(line.end[1]) for line in lines if line.label], space)
    named = iter(places)
    lines = [replace(line, label_at=next(named)) if line.label else line for line in lines]
    return Chart(lines, across, up, quantity.bound)


def _line(sweep: Sweep, quantity: Drawn, part: Part, series: Series) -> Line | None:
    """Return the line of a learner on a device; None where nothing of it was measured."""
    main, best = part is quantity.parts[0], sweep.best()
    dots = [
        Dot(
            at=(each.cell.size, value),
            told=f"{each.cell.size:,}: {part.told(value)}",
            hollow=not quantity.comparable(each),
            ring=main and best is not None and each is best[0],
            span=_ends(quantity, each) if main else (),
        )
        for each in sweep.timed
        if (each.cell.learner, each.cell.device) == series and (value := part.value(each)) is not None
    ]
    if not dots:
        return None
    return Line(
        label=label(sweep, *series) if main and len(_series(sweep)) > 1 else "",
        style=_style(sweep, series),
        dashes=part.dashes or _DEVICES[list(sweep.devices).index(series[1]) % len(_DEVICES)],
        best=False,
        points=[dot.at for dot in dots if not dot.hollow],
        label_at=0.0,
        dots=dots,
    )


def _ends(quantity: Drawn, measured: Measured) -> tuple[float, ...]:
    values = quantity.spans(measured)
    return (min(values), max(values)) if values else ()


def _series(sweep: Sweep) -> Sequence[Series]:
    return list(dict.fromkeys((each.cell.learner, each.cell.device) for each in sweep.cells))


def _style(sweep: Sweep, series: Series) -> str:
    return list(COLOURS)[_series(sweep).index(series) % len(COLOURS)]
