"""Events with a category of a million distinct values."""

from pathlib import Path

from benchmarks.report import Result
from benchmarks.sections.growing import rate_and_memory
from benchmarks.topics import categorised_events

MILLION_OF = 1_500_000
"""The main topic's default size, for which there are a million categories; fewer for a smaller one."""


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Learn one such topic with each of the learners, once."""
    del topic, rounds
    categories = 1_000_000 * events // MILLION_OF
    # A tenth more events than categories, so that all of them have been met before the last look.
    count = categories * 11 // 10
    return rate_and_memory(f"{categories:,} categories", address, categorised_events(count, categories), folder, count)
