"""A sweep in words: what it comes to, how it was measured, and what has to be known of it."""

from service.measuring.measures import in_words
from service.measuring.quantities import milliseconds, rate
from service.sweeping.choice import Choice, Verdict
from service.sweeping.result import Measured, Sweep

_BUSY = 0.5
"""Of the cores: from so many taken by others on, times are not those of the machine."""


def conclusion(sweep: Sweep) -> str:
    """Return which setting is best, and what it brings."""
    best = sweep.best()
    if best is None:
        return "Nothing could be measured."
    measured, choice = best
    return f"{_verdict(sweep, choice)} {_named(sweep, measured)}: {_brings(sweep, measured)}."


def _verdict(sweep: Sweep, choice: Choice) -> str:
    asked = milliseconds(sweep.freshness)
    coming = f" at {rate(sweep.rate)} events/s" if sweep.rate else ""
    if choice.verdict is Verdict.TOO_SLOW:
        return f"Nothing here keeps up with {rate(sweep.rate or 0)} events/s and has a fifth to spare; the fastest is"
    if choice.verdict is Verdict.TOO_LATE:
        return f"Nothing here learns an event within {asked}{coming}; the nearest is"
    return f"Best for {asked}{coming}:"


def _named(sweep: Sweep, measured: Measured) -> str:
    """Return what a cell is called."""
    cell = measured.cell
    return f"{label(sweep, cell.learner, cell.device)} in microbatches of {cell.size:,}"


def _brings(sweep: Sweep, measured: Measured) -> str:
    score = measured.score(sweep.measure)
    scored = "" if score is None else f", {sweep.measure.name} {in_words(score, sweep.measure)}"
    partly = "" if sweep.whole(measured) else f" (it was stopped after {measured.outcome.rows:,} rows)"
    return (
        f"{rate(measured.throughput)} events/s, added delay {milliseconds(sweep.delay(measured))}"
        f"{scored}{partly if scored else ''}"
    )


def label(sweep: Sweep, learner: str, device: str) -> str:
    """Return what the cells of a learner on a device are called; the device only where there are several."""
    return f"{learner} on {device}" if len(sweep.devices) > 1 else learner


def method(sweep: Sweep) -> str:
    """Return how it was measured."""
    coming = "the highest rate that the size sustains" if sweep.rate is None else f"{rate(sweep.rate)} events/s"
    return (
        f"{sweep.rows:,} rows, predicted and learned a microbatch at a time; an update is both, and publishing. Added "
        f"delay: until a microbatch is full at {coming}, and its update at the 99th percentile. Scores are over "
        f"the rows after the first {sweep.scored_from:,}."
    )


def notes(sweep: Sweep) -> list[str]:
    """Return what has to be known of the result: what is missing, what is partial, and how far times can be trusted."""
    told = [
        f"{_named(sweep, each)} could not be measured: {each.outcome.error or 'no update could be timed in its time'}"
        for each in sweep.cells
        if not each.throughput
    ]
    partial = [each for each in sweep.timed if not sweep.whole(each)]
    if partial:
        told.append(
            f"{len(partial)} of {len(sweep.timed)} were stopped before the end of the file (rows), so their scores "
            "here are over other rows; what is named best was chosen by rows in common; give --limit more seconds"
        )
    best = sweep.best()
    if best and best[1].verdict is Verdict.TOO_LATE and 1 < best[0].cell.size == sweep.cells[0].cell.size:
        told.append(f"smaller sizes are fresher, and none below {best[0].cell.size:,} was tried")
    if sweep.larger:
        told.append(f"left out, for the file is too short: sizes {', '.join(f'{size:,}' for size in sweep.larger)}")
    if sweep.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sweep.left_out.items())
        told.append(f"rows that were left out: {reasons}")
    if sweep.load > _BUSY * sweep.machine.cores:
        told.append(
            f"the machine was busy before this began ({sweep.load:.1f} processes on {sweep.machine.cores} cores): "
            "times are longer than they would be, and less steady"
        )
    if sweep.rate is None and sweep.timed:
        told.append("say --rate, if you know how many events come a second: a smaller size may predict better")
    return told
