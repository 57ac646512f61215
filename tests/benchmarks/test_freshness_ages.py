"""What the freshness benchmark makes of what it saw: which event was served when, and which of them count."""

import numpy as np

from benchmarks.freshness import ages
from consumers.source import Position
from consumers.track import Run
from service.durability.journal_format import Update


def update(version: int, runs: list[tuple[int, int]], positions: dict[int, int]) -> Update:
    """Return a journal's entry for runs of (partition, rows), after which the partitions stand at `positions`."""
    after = {partition: Position(offset) for partition, offset in positions.items()}
    return Update(version, "microbatch", tuple(Run(*run) for run in runs), after)


def test_each_event_is_as_old_as_the_first_version_that_holds_it() -> None:
    """If this fails, the benchmark says of a trainer that it is fresher, or staler, than it is."""
    timestamps = [np.array([0, 100, 200, 300]), np.array([150, 250])]
    updates = [
        update(7, [(0, 2)], {0: 2, 1: 0}),
        update(8, [(0, 1), (1, 1), (0, 1)], {0: 4, 1: 1}),
        update(9, [(1, 1)], {0: 4, 1: 2}),
    ]
    # Version 8 came and went between two looks.
    found = ages(timestamps, updates, {7: 130.0, 9: 340.0}, warm_up=0.0)
    assert sorted(found.tolist()) == sorted([130.0, 30.0, 140.0, 40.0, 190.0, 90.0])
    warm = ages(timestamps, updates, {7: 130.0, 9: 340.0}, warm_up=200.0)
    assert sorted(warm.tolist()) == [40.0, 90.0, 140.0]
