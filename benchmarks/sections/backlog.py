"""``learner.kind: auto`` while a backlog waits: its rate over the bare poll's, and the score that the hurry costs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.ingest import Look, Window, end_to_end, kafka_settings, looks, measured
from benchmarks.loops.running import run
from benchmarks.loops.table import POLL
from benchmarks.measured import MeasurementFailed, Series, costs
from benchmarks.report import Result
from benchmarks.sections.json_events import shares
from benchmarks.topics import filled_topic
from tests.support.processes import installation

SECONDS = 10.0
"""A measurement of the rate takes at most so long."""

WARM_UP = 10
"""The main topic's events divided by this are learned before the time is taken."""

SCORED, SCORE_SECONDS = 10, 60.0
"""The main topic's events divided by this are scored: at full effort they take long. After so long it is enough."""

SCORES = {"accuracy": "accuracy", "log_loss": "log loss"}

EFFORTS: dict[str, dict[str, object]] = {
    "under a backlog": {},
    "at full effort": {"microbatch": {"adaptive": False, "max_size": 128}},
}
"""What is scored, and the settings that make it so: without adaptation nothing gives way to a backlog, and microbatches
are as small as on a stream that leaves time."""


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure the rate in turn with the bare poll, and each score once."""
    warm_up, counted = shares(events)
    poll, ours = Series(POLL.title), Series("Headrace, JSON, `auto`, under a backlog")
    bare = partial(run, "poll", address, topic, warm_up, counted)
    poll.take(bare)
    for turn in range(rounds):
        place, window = folder / str(turn), Window(events // WARM_UP, counted, SECONDS)
        ours.take(partial(end_to_end, place, _settings(topic), kafka_settings(address), window))
        poll.take(bare)
    rates = [poll.rate, ours.rate, ours.over(poll, "`auto` over kafka-python's bare poll", 0.5), *costs(poll, ours)]
    return rates + _scores(address, folder, events // SCORED)


def _settings(topic: str, **others: object) -> dict[str, object]:
    return {"topic": topic, "learner": {"kind": "auto"}, **others}


def _scores(address: str, folder: Path, events: int) -> list[Result]:
    """Return the scores of the same events by effort, and the rates from the first report on."""
    topic = filled_topic(address, events)
    results: list[Result] = []
    seen: dict[str, list[Look]] = {}
    for effort, others in EFFORTS.items():
        try:
            seen[effort] = _learned(address, folder / effort.replace(" ", "-"), _settings(topic, **others), events)
        except MeasurementFailed as failure:
            results += [Result(f"{name} {effort}", "", [], failure=str(failure)) for name in SCORES.values()]
    for effort, each in same_events(seen).items():
        found = each[-1].status.scores["stream"]
        note = f"the first {each[-1].learned:,} events"
        results += [Result(f"{name} {effort}", "", [found[score] or 0.0], note) for score, name in SCORES.items()]
        if len(each) > 1:
            rate = measured(each[0], each[-1]).rate
            results.append(Result(f"Headrace, JSON, `auto`, {effort}, from the start", "events/s", [rate]))
    return results


def same_events(seen: Mapping[str, list[Look]]) -> dict[str, list[Look]]:
    """Return each one's looks up to about where the one ended that came least far: scores are of the same events."""
    least = min((looks_[-1].learned for looks_ in seen.values()), default=0)
    return {name: [each for each in looks_ if each.learned <= least] or looks_[:1] for name, looks_ in seen.items()}


def _learned(address: str, folder: Path, settings: dict[str, object], events: int) -> list[Look]:
    """Return a trainer's looks until all events are learned, or it has taken too long."""
    folder.mkdir(parents=True)
    seen: list[Look] = []
    with installation(folder, settings, **kafka_settings(address)) as place:
        for look in looks(place, place.start("train", "--model", "default")):
            seen.append(look)
            if look.learned >= events or look.at - seen[0].at > SCORE_SECONDS:
                break
    return seen
