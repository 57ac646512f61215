"""The same topic read and learned by other libraries, each in an environment of its own, beside ours."""

from functools import partial
from pathlib import Path

from benchmarks.ingest import Window, end_to_end, kafka_settings, trainer_settings
from benchmarks.loops.running import run
from benchmarks.loops.table import LOOPS, PEERS
from benchmarks.measured import Series, costs
from benchmarks.report import Result
from benchmarks.sections.json_events import shares

NAMES = ("river", *PEERS)

MOST_ROUNDS = 2
"""These are so far apart that more would only take time."""


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure all of them in turn, and once more at the end; ours between."""
    rounds = min(rounds, MOST_ROUNDS)
    window = Window(*shares(events))
    ours = Series("Headrace, JSON, `mlp`, kafka-python")
    loops = {name: Series(LOOPS[name].title) for name in NAMES}

    def peers() -> None:
        for name, series in loops.items():
            series.take(partial(run, name, address, topic, window.warm_up, window.events))

    peers()
    for turn in range(rounds):
        settings = trainer_settings(topic)
        ours.take(partial(end_to_end, folder / str(turn), settings, kafka_settings(address), window))
        peers()
    return [
        ours.rate,
        *(series.rate for series in loops.values()),
        *(ours.over(series, f"Headrace over {series.name}") for series in loops.values()),
        *costs(ours, *loops.values()),
    ]
