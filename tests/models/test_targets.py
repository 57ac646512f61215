"""What is learned is free of the target's unit: the scale stands still, and says so when it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.targets import DOUBLING, NumberTargets


def batches(labels: list[float], sizes: list[int]) -> list[np.ndarray]:
    """Return labels in pieces."""
    return [piece for piece in np.split(np.array(labels), np.cumsum(sizes)) if len(piece)]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60),
    st.lists(st.integers(1, 20), max_size=6),
)
def test_a_rescaling_says_what_old_standard_labels_are_in_the_new_scale(labels: list[float], sizes: list[int]) -> None:
    """What was learned in old units would be off for good after the scale was renewed."""
    targets = NumberTargets({})
    for piece in batches(labels, sizes):
        before = targets.scale()
        moved = targets.observe(piece)
        after = targets.scale()
        if moved is None or not before.deviation:
            continue
        value = before.mean + 0.7 * before.deviation
        assert (value - after.mean) / after.deviation == pytest.approx(moved.factor * 0.7 + moved.shift, abs=1e-6)


def test_the_scale_stands_still_once_it_is_known() -> None:
    """Thresholds, solved systems and remembered rows would have to be put into other units all the time."""
    random, targets = np.random.default_rng(0), NumberTargets({})
    renewals = [targets.observe(random.normal(5.0, 3.0, 64)) is not None for _ in range(600)]
    early = DOUBLING // 64
    assert sum(renewals[: 2 * early]) <= 12
    assert not any(renewals[2 * early :])
    assert targets.scale().mean == pytest.approx(5.0, abs=0.3)
    assert targets.scale().deviation == pytest.approx(3.0, rel=0.1)


def test_the_scale_follows_labels_that_spread_further() -> None:
    """After labels have grown, standardised ones would be clipped, and nothing beyond could be predicted."""
    random, targets = np.random.default_rng(0), NumberTargets({})
    for _ in range(100):
        targets.observe(random.normal(0.0, 1.0, 64))
    for _ in range(300):
        targets.observe(random.normal(0.0, 100.0, 64))
    assert targets.scale().deviation > 50
    assert abs(targets.standard(random.normal(0.0, 100.0, 640))).max() < 10


@pytest.mark.parametrize("value", [0.0, 1e30, -1e-9])
def test_labels_that_are_all_the_same_have_no_unit(value: float) -> None:
    """A division by a deviation of zero would make everything learned not a number."""
    targets = NumberTargets({})
    assert targets.observe(np.full(10, value)) is None
    assert targets.scale().mean == pytest.approx(value)
    assert targets.scale().deviation == 0.0
    assert not targets.standard(np.full(10, value)).any()
    moved = targets.observe(np.array([value + abs(value) + 1.0] * 10))
    assert moved is None or np.isfinite(moved).all()
    assert np.isfinite(targets.standard(np.array([value]))).all()
