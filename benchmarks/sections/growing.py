"""What `wide` and `categories` share: a trainer over a topic, its rate, and its memory early and late."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.ingest import Look, kafka_settings, looks, measured
from benchmarks.measured import MeasurementFailed
from benchmarks.report import Result
from benchmarks.topics import temporary_topic
from tests.support.processes import installation

KINDS = ("mlp", "linear")

SECONDS = 60.0
"""After so long it is enough, wherever a trainer has got to."""

BOUND = 1.1
"""Times the memory after a quarter of the topic that it may be at the end: more would not be bounded."""


def rate_and_memory(name: str, address: str, messages: Iterable[bytes], folder: Path, count: int) -> list[Result]:
    """Return, for each learner, the rate from the first tenth of a topic on, and memory after a quarter and at its end.

    Parameters
    ----------
    name
        What the events are called in the results.
    address, messages, count
        The broker, and the topic's events, one a message: so many.
    folder
        For the trainers.
    """
    results: list[Result] = []
    with temporary_topic(address, messages) as topic:
        for kind in KINDS:
            try:
                results += told(f"{name}, `{kind}`", _seen(address, topic, folder / kind, kind, count), count)
            except MeasurementFailed as failure:
                results.append(Result(f"Headrace, {name}, `{kind}`", "events/s", [], failure=str(failure)))
    return results


def _seen(address: str, topic: str, folder: Path, kind: str, count: int) -> list[Look]:
    """Return a trainer's looks until it is nearly done: while it is still busy."""
    folder.mkdir(parents=True)
    seen: list[Look] = []
    settings: dict[str, object] = {"topic": topic, "learner": {"kind": kind}}
    with installation(folder, settings, **kafka_settings(address)) as place:
        for look in looks(place, place.start("train", "--model", "default")):
            seen.append(look)
            if look.learned >= count * 0.97 or look.at - seen[0].at > SECONDS:
                break
    return seen


def told(name: str, seen: list[Look], count: int) -> list[Result]:
    """Return the results of what was seen.

    Raises
    ------
    MeasurementFailed
        It was seen too seldom.
    """
    first = next((look for look in seen if look.learned >= count / 10), seen[-1])
    quarter = next((look for look in seen if look.learned >= count / 4), seen[-1])
    last = seen[-1]
    if last.learned <= max(first.learned, quarter.learned):
        raise MeasurementFailed(f"the trainer reported only {len(seen)} times: too few events")
    whole = measured(first, last)
    growth = last.resident_mib / quarter.resident_mib
    return [
        Result(f"Headrace, {name}", "events/s", [whole.rate]),
        Result(f"Headrace, {name}: processor time", "µs an event", [whole.cost]),
        Result(f"{name}: memory after {quarter.learned:,} events", "MiB", [quarter.resident_mib]),
        Result(f"{name}: memory after {last.learned:,} events", "MiB", [last.resident_mib]),
        Result(f"{name}: memory at the end over after a quarter", "×", [growth], bar=BOUND, at_most=True),
    ]
