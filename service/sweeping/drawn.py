"""What is drawn of a sweep: the quantities that depend on the size, and how each is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.measuring.chart import DASHES, Bound
from service.measuring.measures import in_words, mark
from service.measuring.quantities import memory, milliseconds, rate, short
from service.sweeping.result import Measured, Sweep

Value = Callable[[Measured], float | None]

_DOTTED = DASHES[2]


@dataclass(frozen=True, slots=True)
class Part:
    """One line for each learner and device.

    Attributes
    ----------
    value
        What it shows of a cell; None for nothing.
    told
        What is said of a value to whom points at it.
    dashes
        Of the line.
    """

    value: Value
    told: Callable[[float], str]
    dashes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """One chart's quantity.

    Attributes
    ----------
    key
        For the page; unlike any other.
    title, caption
        What it is, with its unit; how it is to be read.
    parts
        Its lines, the main one first.
    written
        How a value is written at the axis.
    spans
        Between which values a cell's dot has a bar.
    bound
        What is not to be passed.
    linear
        Whether the axis is linear; else equal factors are equally long.
    ends
        What a linear axis has to show beside the values.
    most
        What no value can exceed; None where there is no such thing.
    comparable
        Whether a cell's value can be compared with those of others.
    """

    key: str
    title: str
    caption: str
    parts: Sequence[Part]
    written: Callable[[float], str] = lambda value: f"{value:,.10g}"
    spans: Callable[[Measured], Sequence[float]] = lambda _: ()
    bound: Bound | None = None
    linear: bool = False
    ends: Sequence[float] = ()
    most: float | None = None
    comparable: Callable[[Measured], bool] = lambda _: True


def drawn(sweep: Sweep) -> list[Drawn]:
    """Return what is drawn, the most important first."""
    return [_throughput(sweep), _delay(sweep), _score(sweep), _update(), _memory(sweep)]


def _throughput(sweep: Sweep) -> Drawn:
    return Drawn(
        "throughput",
        "Throughput (events/s)",
        "More is better. Bars: the slowest and the fastest fifth of the run.",
        [Part(lambda each: each.throughput, lambda found: f"{rate(found)} events/s")],
        written=short,
        spans=lambda each: each.timing.fifths if each.timing else (),
        bound=Bound(sweep.rate, f"{rate(sweep.rate)} events/s come", at_end=True) if sweep.rate else None,
    )


def _delay(sweep: Sweep) -> Drawn:
    at = "at the highest rate of that size" if sweep.rate is None else f"at {rate(sweep.rate)} events/s"
    return Drawn(
        "delay",
        "Added delay (ms)",
        f"Less is better: until a microbatch is full {at}, and its update. Below the line is fresh enough."
        f"{' Sizes that do not keep up have none.' if sweep.rate else ''}",
        [Part(lambda each: 1000 * sweep.delay(each) if sweep.sustains(each) else None, _in_milliseconds)],
        bound=Bound(1000 * sweep.freshness, f"asked for: {milliseconds(sweep.freshness)}"),
    )


def _score(sweep: Sweep) -> Drawn:
    measure = sweep.measure
    partial = "" if all(map(sweep.whole, sweep.timed)) else " Hollow: over other rows, for its time was over."
    return Drawn(
        "score",
        f"{measure.name.capitalize()}{' (%)' if measure.share else ''}",
        f"{'More' if measure.higher else 'Less'} is better: rows are predicted before they are learned.{partial}",
        [Part(lambda each: each.score(measure), lambda score: in_words(score, measure))],
        written=lambda value: mark(value, measure),
        linear=True,
        most=1.0 if measure.share else None,
        comparable=sweep.whole,
    )


def _update() -> Drawn:
    return Drawn(
        "update",
        "Update time (ms)",
        "Less is better. Whole line: the median. Dotted: the 99th percentile.",
        [
            Part(lambda each: 1000 * each.timing.median if each.timing else None, _in_milliseconds),
            Part(lambda each: 1000 * each.timing.p99 if each.timing else None, _as_p99, _DOTTED),
        ],
    )


def _memory(sweep: Sweep) -> Drawn:
    devices = any(each.outcome.device_memory_bytes for each in sweep.cells)
    parts = [Part(lambda each: _mebibytes(each.outcome.memory_bytes), _as_memory)]
    if devices:
        parts.append(Part(lambda each: _mebibytes(each.outcome.device_memory_bytes or None), _as_memory, _DOTTED))
    return Drawn(
        "memory",
        "Memory (MiB)",
        f"Less is better: by how much the process grew, at most.{' Dotted: on the device.' if devices else ''}",
        parts,
        linear=True,
        ends=[0.0],
    )


def _mebibytes(held: int | None) -> float | None:
    return None if held is None else held / 2**20


def _in_milliseconds(value: float) -> str:
    return milliseconds(value / 1000)


def _as_p99(value: float) -> str:
    return f"p99 {_in_milliseconds(value)}"


def _as_memory(value: float) -> str:
    return memory(int(value * 2**20))
