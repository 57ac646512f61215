"""Events of a thousand numbers."""

from pathlib import Path

from benchmarks.report import Result
from benchmarks.sections.growing import rate_and_memory
from benchmarks.topics import around, wide_events

FEATURES = 1_000

PART, POOL = 50, 2_000
"""The main topic's events divided by this, each worth a hundred of those; and different ones, which go round."""


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Learn one such topic with each of the learners, once."""
    del topic, rounds
    count = events // PART
    messages = around(wide_events(min(POOL, count), FEATURES), count)
    return rate_and_memory("1,000 features", address, messages, folder, count)
