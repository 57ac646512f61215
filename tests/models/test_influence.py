"""No source has more than its share of what is learned, however it sends, and honest ones lose nothing."""

import numpy as np
import pytest

from models.errors import StateMismatch
from models.influence import KeyShares
from models.learner import LearnerState

HONEST = np.arange(1, 31, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
GREEDY = np.uint64(0xDEADBEEF12345678)


def drawn(random: np.random.Generator, rows: int, greedy: float) -> np.ndarray:
    """Return sources of rows: the greedy one with this probability, else one of the honest ones."""
    return np.where(random.random(rows) < greedy, GREEDY, random.choice(HONEST, rows))


def learned_shares(made: KeyShares, batches: list[np.ndarray]) -> tuple[float, float]:
    """Return which share of what is learned is the greedy source's, and which of the honest rows is learned."""
    greedy = total = honest = kept = 0.0
    for sources in batches:
        weights = made.limited(sources, np.ones(len(sources), np.float32))
        made.add(sources, weights)
        mine = sources == GREEDY
        greedy, total = greedy + weights[mine].sum(), total + weights.sum()
        honest, kept = honest + (~mine).sum(), kept + weights[~mine].sum()
    return greedy / total, kept / honest


@pytest.mark.parametrize("rows", [1, 7, 256])
def test_a_source_gets_no_more_than_its_share(rows: int) -> None:
    """A sender that is loud enough would decide what is learned."""
    random = np.random.default_rng(0)
    share, kept = learned_shares(KeyShares(0.1, 1000), [drawn(random, rows, 0.6) for _ in range(12_000 // rows)])
    assert 0.08 < share < 0.115
    assert kept > 0.995


def test_bursts_count_too() -> None:
    """A source that sends all at once would have more than one that sends evenly."""
    random = np.random.default_rng(0)
    batches = [drawn(random, 256, 0.95 if turn % 4 == 0 else 0.0) for turn in range(60)]
    assert learned_shares(KeyShares(0.1, 2000), batches)[0] < 0.12


def test_those_within_their_share_are_left_as_they_are() -> None:
    """Streams without a greedy source would be learned in part."""
    random = np.random.default_rng(0)
    assert learned_shares(KeyShares(0.1, 1000), [drawn(random, 64, 0.02) for _ in range(100)])[1] > 0.995


def test_few_sources_have_twice_an_equal_part_and_a_lone_one_has_all() -> None:
    """A stream of one source would never be learned, and one of a few only in small part."""
    alone = np.full(64, GREEDY)
    made = KeyShares(0.1, 1000)
    for _ in range(20):
        assert made.limited(alone, np.ones(64, np.float32)).all()
        made.add(alone, np.ones(64, np.float32))
    random = np.random.default_rng(0)
    five = [np.where(random.random(100) < 0.8, GREEDY, random.choice(HONEST[:4], 100)) for _ in range(100)]
    share, kept = learned_shares(KeyShares(0.1, 1000), five)
    assert share == pytest.approx(0.4, abs=0.04)
    assert kept > 0.99


def test_rows_of_no_source_are_never_bounded() -> None:
    """Events without a key would be taken for one sender's."""
    nobody = np.zeros(64, np.uint64)
    made = KeyShares(0.1, 100)
    for _ in range(20):
        assert made.limited(nobody, np.ones(64, np.float32)).all()
        made.add(nobody, np.ones(64, np.float32))


def test_a_million_sources_take_no_more_memory_and_leave_the_bound() -> None:
    """A flood of sources would fill memory, or hide one that is greedy."""
    random = np.random.default_rng(0)
    made, flood = KeyShares(0.1, 10_000), random.integers(1, 2**63, 300_000).astype(np.uint64)
    batches = [np.where(random.random(3000) < 0.5, GREEDY, flood[s : s + 3000]) for s in range(0, 300_000, 3000)]
    share, kept = learned_shares(made, batches)
    assert share < 0.115
    assert kept > 0.99
    assert sum(array.nbytes for array in made.state().arrays.values()) < 200_000


def test_what_was_saved_goes_on_the_same() -> None:
    """A restart would learn other rows than those that are in the parameters already."""
    random = np.random.default_rng(0)
    made, other = KeyShares(0.1, 500), KeyShares(0.1, 500)
    batches = [drawn(random, 32, 0.6) for _ in range(40)]
    learned_shares(made, batches[:20])
    other.restore(made.state())
    for sources in batches[20:]:
        weights = made.limited(sources, np.ones(32, np.float32))
        np.testing.assert_array_equal(other.limited(sources, np.ones(32, np.float32)), weights)
        made.add(sources, weights)
        other.add(sources, weights)
    with pytest.raises(StateMismatch):
        other.restore(LearnerState({"schema": 9}, {}))
