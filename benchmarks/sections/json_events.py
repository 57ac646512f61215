"""One JSON event a message: each client's bare poll, the hand-written loop, and a trainer with each client, in turn."""

from functools import partial
from pathlib import Path

from benchmarks import ingest
from benchmarks.ingest import Window, kafka_settings, trainer_settings
from benchmarks.loops.running import run
from benchmarks.loops.table import CONSUME, POLL, RIVER
from benchmarks.measured import Series, costs
from benchmarks.report import Result


def shares(events: int) -> tuple[int, int]:
    """Return the events of the warm-up and those that are measured, of a topic of so many.

    librdkafka has read some 400,000 events ahead before anybody takes the first: they must have been taken before the
    time is, and in the end as many must be left, or what is measured is how fast they leave memory. By default both
    are (a third of 1,500,000, and 4/15 of them).
    """
    return events // 3, events * 2 // 5


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure each in turn, the bare ones and the loop once more at the end."""
    poll, consume, loop = Series(POLL.title), Series(CONSUME.title), Series(RIVER.title)
    first, second = (Series(f"Headrace, JSON, `mlp`, {client}") for client in ("kafka-python", "librdkafka"))
    window = Window(*shares(events))
    settings = trainer_settings(topic)

    def bare() -> None:
        for name, series in (("poll", poll), ("consume", consume), ("river", loop)):
            series.take(partial(run, name, address, topic, window.warm_up, window.events))

    bare()
    for turn in range(rounds):
        for client, series in (("kafka-python", first), ("librdkafka", second)):
            place = folder / f"{client}-{turn}"
            series.take(partial(ingest.end_to_end, place, settings, kafka_settings(address, client=client), window))
        bare()
    return [
        *(each.rate for each in (poll, consume, loop, first, second)),
        first.over(poll, "Headrace over kafka-python's bare poll", 0.85),
        second.over(consume, "Headrace with librdkafka over librdkafka's bare consume", 0.6),
        first.over(loop, "Headrace over the hand-written loop", 3.0),
        second.over(loop, "Headrace with librdkafka over the hand-written loop", 5.0),
        *costs(poll, consume, loop, first, second),
    ]
