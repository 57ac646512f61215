"""The ring must hold the newest examples, or the stand-in starts from an older world than it could."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.examples import Examples, Features
from service.learning.replay_ring import ReplayRing


def examples(labels: list[int]) -> Examples:
    return Examples(Features.empty(len(labels)), labels, np.ones(len(labels), np.float32), np.zeros(len(labels)))


@given(st.integers(0, 20), st.lists(st.integers(0, 8), max_size=12))
def test_it_holds_the_last_rows_in_order(capacity: int, sizes: list[int]) -> None:
    """If this fails, a stand-in is warmed up on too few events, on old ones, or in a wrong order."""
    ring = ReplayRing(capacity)
    pushed: list[int] = []
    for size in sizes:
        rows = list(range(len(pushed), len(pushed) + size))
        pushed += rows
        ring.push(examples(rows))
    held = [label for piece in ring.pieces() for label in piece.labels]
    assert held == (pushed[-capacity:] if capacity else [])
