"""A trainer after half a million events and after five million: resident memory, and processor time an event."""

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ingest import Look, kafka_settings, looks, measured
from benchmarks.measured import MeasurementFailed
from benchmarks.report import Result
from benchmarks.topics import around, events, temporary_topic
from tests.support.processes import installation

TIMES = 4.4
"""How many times the main topic's events the largest topic here holds: 6.6 million of 1.5 million."""

EARLY, LATE, SPAN = 500 / 6_600, 5_000 / 6_600, 400 / 6_600
"""Shares of the topic after which it is looked at (500,000 and 5,000,000 of 6,600,000 events), and over how many
further ones: the median of the memory, and the processor time an event. What is left then is enough for microbatches
to be as large late as early: they become smaller as a backlog ends."""

SMALLER = {"mlp": 1, "auto": 6}
"""Learner → by what its topic is smaller than that."""

POOL = 100_000

SECONDS = 150.0
"""A learner that has not come so far by then is too slow for this."""


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Learn one long topic with each learner, once: what grows shows itself within one run."""
    del topic, rounds
    results: list[Result] = []
    for kind, smaller in SMALLER.items():
        count = round(events * TIMES / smaller)
        try:
            seen = _watched(address, folder / kind, kind, count)
        except MeasurementFailed as failure:
            results.append(Result(f"`{kind}`: memory late over early", "×", [], failure=str(failure)))
        else:
            results += grown(f"`{kind}`", seen, count)
    return results


def _watched(address: str, folder: Path, kind: str, count: int) -> list[Look]:
    """Return a trainer's looks until the late span is over."""
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        topic = stack.enter_context(temporary_topic(address, around(events(min(POOL, count)), count)))
        settings: dict[str, object] = {"topic": topic, "learner": {"kind": kind}}
        place = stack.enter_context(installation(folder, settings, **kafka_settings(address)))
        found: list[Look] = []
        for look in looks(place, place.start("train", "--model", "default")):
            found.append(look)
            if look.at - found[0].at > SECONDS:
                break
            if look.learned >= (LATE + SPAN) * count * 0.99:  # the last microbatch may wait for its delay
                break
    return found


def grown(name: str, seen: Sequence[Look], count: int) -> list[Result]:
    """Return memory and cost early and late, and by how much they grew.

    Parameters
    ----------
    name
        Of the learner.
    seen
        In order of time.
    count
        Events in the topic.
    """
    memory, cost, marks = [], [], []
    for share in (EARLY, LATE):
        within = [look for look in seen if share * count <= look.learned <= (share + SPAN) * count]
        if len(within) < 2:
            failure = f"{len(within)} reports after {share * count:,.0f} events: too few"
            return [Result(f"{name}: memory late over early", "×", [], failure=failure)]
        marks.append(f"{within[0].learned:,} to {within[-1].learned:,} events")
        memory.append(statistics.median(look.resident_mib for look in within))
        cost.append(measured(within[0], within[-1]).cost)
    return [
        *(Result(f"{name}: memory after {mark}", "MiB", [value]) for mark, value in zip(marks, memory, strict=True)),
        Result(f"{name}: memory late over early", "×", [memory[1] / memory[0]], bar=1.03, at_most=True),
        *(Result(f"{name}: cost, {mark}", "µs an event", [value]) for mark, value in zip(marks, cost, strict=True)),
        Result(f"{name}: cost late over early", "×", [cost[1] / cost[0]], bar=1.1, at_most=True),
    ]
