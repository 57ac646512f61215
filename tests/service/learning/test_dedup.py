"""The dedup window at the size that it is used at: quick, and of bounded memory."""

import numpy as np
import pytest

from models.learner import LearnerState
from service.errors import CheckpointInvalid
from service.learning.dedup import BLOCK, DedupWindow


def test_a_large_window_holds_what_it_should_and_no_more() -> None:
    """Ids would be forgotten when recent ones are merged with older ones, or pile up for ever."""
    random = np.random.default_rng(0)
    window = 3 * BLOCK
    made, ids = DedupWindow(window), random.integers(1, 2**63, (5 * BLOCK, 2)).astype(np.uint64)
    for start in range(0, len(ids), 4096):
        assert not made.duplicates(ids[start : start + 4096]).any()
        made.add(ids[start : start + 4096])
    assert made.duplicates(ids[-window:]).all()
    assert not made.duplicates(ids[: len(ids) - window - 4096]).any()
    assert sum(array.nbytes for array in made.state().arrays.values()) == 16 * window
    assert len(made._old.words) + len(made._new.words) <= 1.2 * window


def test_only_blocks_that_changed_are_new_in_a_checkpoint() -> None:
    """Every checkpoint would write the whole window."""
    random = np.random.default_rng(0)
    made = DedupWindow(4 * BLOCK)
    made.add(random.integers(1, 2**63, (4 * BLOCK, 2)).astype(np.uint64))
    before = made.state().arrays
    made.add(random.integers(1, 2**63, (100, 2)).astype(np.uint64))
    after = made.state().arrays
    assert [name for name in after if not np.array_equal(before[name], after[name])] == ["dedup0/ids"]


def test_ids_that_differ_in_any_bit_are_two() -> None:
    """A new event would be thrown away because half of its digest is that of another."""
    made = DedupWindow(4)
    made.add(np.array([[1, 2]], np.uint64))
    assert made.duplicates(np.array([[1, 3], [2, 2], [1, 2]], np.uint64)).tolist() == [False, False, True]


def test_a_window_of_an_unknown_schema_is_refused() -> None:
    """Ids of another layout would be taken for these, and duplicates be learned."""
    with pytest.raises(CheckpointInvalid, match="schema 9"):
        DedupWindow(4).restore(LearnerState({"schema": 9}, {}))
