"""Plots of what ``make bench`` found: rates beside each other, and each bar with what was reached. Needs matplotlib.

The colours are those of Okabe and Ito, which people who see few colours can tell apart; no meaning is in colour alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import Chapter, with_bars
from benchmarks.report import Result, bar_of, figure

OURS, BARE, OTHERS = "#0072B2", "#999999", "#E69F00"
MISSED = "#D55E00"

_WIDTH, _LINE = 10.0, 0.34
"""Inches: of a plot, and for each of its lines."""


def draw(chapters: Sequence[Chapter], stem: Path) -> list[Path]:
    """Draw ``STEM-rates.png`` and ``STEM-bars.png``; return those that there was something to draw for.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415 - optional

    mpl.use("Agg")
    drawn = []
    for name, results, plot in (("rates", rates(chapters), _rates), ("bars", reached(chapters), _bars)):
        if results:
            path = stem.with_name(f"{stem.name}-{name}.png")
            plot(results, path)
            drawn.append(path)
    return drawn


def rates(chapters: Sequence[Chapter]) -> list[Result]:
    """Return the rates of ingestion, the fastest first, each thing once: where it was measured first."""
    found: dict[str, Result] = {}
    for chapter in chapters:
        for result in chapter.results if chapter.name != "freshness" else ():  # its rate is a means, not a result
            if result.unit == "events/s" and result.values:
                found.setdefault(result.name, result)
    return sorted(found.values(), key=lambda result: -result.median)


def reached(chapters: Sequence[Chapter]) -> list[Result]:
    """Return the results that have a bar and were measured, but for those of which nothing is a multiple: bars of 0."""
    return [result for result in with_bars(chapters) if result.values and result.bar and result.median > 0]


def share(result: Result) -> float:
    """Return how many times better than its bar a result is: 1 is the bar, more is better."""
    assert result.bar is not None
    return result.bar / result.median if result.at_most else result.median / result.bar


def colour_of(name: str) -> str:
    """Return the colour of a rate: ours, a client that does nothing with what it reads, or another library."""
    if name.startswith("Headrace"):
        return OURS
    return BARE if "bare" in name else OTHERS


def _rates(results: Sequence[Result], path: Path) -> None:
    figure_, axes = _lines([each.name for each in results])
    medians = [each.median for each in results]
    places = range(len(results))
    spans = [
        [median - min(each.values) for median, each in zip(medians, results, strict=True)],
        [max(each.values) - median for median, each in zip(medians, results, strict=True)],
    ]
    colours = [colour_of(each.name) for each in results]
    axes.barh(places, medians, xerr=spans, color=colours, ecolor="#555555", error_kw={"lw": 1})
    axes.set_xscale("log")
    axes.set_xlim(min(medians) / 2, max(medians) * 4)
    for place, each in zip(places, results, strict=True):
        axes.annotate(f"{each.median:,.0f}", (max(each.values), place), (6, 0), textcoords="offset points", va="center")
    axes.set_xlabel("events a second (logarithmic; thin lines: from the slowest round to the fastest)")
    axes.set_title("Events from a Kafka broker: Headrace (blue), bare clients (grey), other libraries (orange)")
    _save(figure_, path)


def _bars(results: Sequence[Result], path: Path) -> None:
    figure_, axes = _lines([each.name for each in results])
    for place, each in enumerate(results):
        colour, marker = (OURS, "o") if each.holds else (MISSED, "X")
        axes.plot([1, share(each)], [place, place], color=colour, lw=1.5)
        axes.plot([share(each)], [place], marker=marker, color=colour, ms=8)
        text = f"{figure(each.median)} {each.unit} (bar {bar_of(each)})"
        axes.annotate(text, (max(1.0, share(each)), place), (10, 0), textcoords="offset points", va="center")
    axes.axvline(1, color="#000000", lw=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
    axes.set_xlim(min(0.5, *map(share, results)) / 1.2, max(2.0, *map(share, results)) * 4)
    axes.set_xlabel("times better than the bar (1 is the bar; circles meet it, crosses miss it)")
    axes.set_title("What was to be reached, and what was")
    _save(figure_, path)


def _lines(names: Sequence[str]) -> tuple[Any, Any]:
    """Return a figure with a line for each name, the first at the top."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - optional

    figure_, axes = plt.subplots(figsize=(_WIDTH, 1.4 + _LINE * len(names)))
    axes.set_yticks(range(len(names)), [name.replace("`", "") for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    return figure_, axes


def _save(figure_: Any, path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - optional

    figure_.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure_)
