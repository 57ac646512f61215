"""Drift in streams of errors: noticed when they rise, not otherwise; found again exactly by whoever goes on."""

from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.drift import GATHERED, DriftWatch
from models.drift_options import Detector, DriftOptions
from models.examples import Task

DETECTORS = [name for name in get_args(Detector) if name != "none"]


def watch(detector: Detector, task: Task = Task.BINARY) -> DriftWatch:
    """Return a watch on the CPU."""
    return DriftWatch(DriftOptions(detector), task, "cpu")


def feed(watched: DriftWatch, wrong: NDArray[np.bool_], rows: int = 64) -> list[int]:
    """Feed right and wrong answers of two classes; return how many drifts there were in each microbatch."""
    answers = torch.tensor([0.2, 0.8]).expand(len(wrong), 2)
    targets = torch.from_numpy(1 - wrong.astype(np.int64))
    weights = np.ones(len(wrong), np.float32)
    parts = [slice(start, start + rows) for start in range(0, len(wrong), rows)]
    return [watched.update(answers[part], targets[part], weights[part]) for part in parts]


def feed_numbers(watched: DriftWatch, errors: NDArray[np.float64], rows: int = 64) -> None:
    """Feed answers to labels of 1000 that are off by `errors`."""
    targets = torch.full((len(errors),), 1000.0, dtype=torch.float64)
    answers = targets + torch.from_numpy(errors)
    for start in range(0, len(errors), rows):
        part = slice(start, start + rows)
        watched.update(answers[part], targets[part], np.ones(len(targets[part]), np.float32), deviation=5.0)


def wrong(shares: list[float], rows: int, seed: int = 0) -> NDArray[np.bool_]:
    """Return, for `rows` rows after each other at each share, whether the answer is wrong."""
    return np.random.default_rng(seed).random(rows * len(shares)) < np.repeat(shares, rows)


@pytest.mark.parametrize("detector", DETECTORS)
def test_errors_that_rise_are_drift(detector: Detector) -> None:
    """An operator would not hear of a concept that changed, or be told the wrong event."""
    watched = watch(detector)
    feed(watched, wrong([0.1, 0.4], 3000))
    assert watched.drifts >= 1
    assert watched.last is not None
    assert 3000 < watched.last <= 6000


@pytest.mark.parametrize("detector", DETECTORS)
def test_errors_that_fall_or_stay_are_none(detector: Detector) -> None:
    """Each learner that learns would be reported as drifting, and reset for getting better."""
    watched = watch(detector)
    feed(watched, wrong([0.5, 0.3, 0.1, 0.1], 3000))
    assert (watched.drifts, watched.last) == (0, None)


def test_errors_that_fell_blind_nobody() -> None:
    """A drift just after it was seen that a learner became better would not be found at all."""
    watched = watch("adwin")
    assert sum(feed(watched, wrong([0.4], 2048), 1)) == 0
    detector = watched._detector
    assert detector is not None
    better = wrong([0.1], 2048, 1).astype(float).tolist()
    assert any(detector.update([error]).changed for error in better)
    assert detector.update(wrong([0.9], 512, 2).astype(float).tolist()).rises


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_is_found_is_one_however_the_stream_is_cut(detector: Detector) -> None:
    """The size of microbatches would decide what drift is; the last row is that of the detection, not its batch's."""
    found = []
    for rows in (1, 64, 1000):
        watched = watch(detector)
        feed(watched, wrong([0.05, 0.5, 0.9], 2000), rows)
        found.append((watched.drifts, watched.last))
    assert found[0] == found[1] == found[2]
    assert found[0][0] >= 2


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("detector", DETECTORS)
def test_numbers_have_no_unit(detector: Detector, scale: float) -> None:
    """A target in other units would drift at another time, or never; a wild value would hide all others."""
    errors = scale * np.abs(np.random.default_rng(1).normal(size=9000))
    errors[4500:] *= 6
    errors[::100] = 1e30
    errors[7] = np.nan
    watched = watch(detector, Task.REGRESSION)
    targets = torch.zeros(len(errors), dtype=torch.float64)
    answers = torch.from_numpy(errors)
    for start in range(0, len(errors), 50):
        part = slice(start, start + 50)
        watched.update(answers[part], targets[part], np.ones(50, np.float32), deviation=scale)
    assert watched.drifts >= 1
    assert watched.last is not None
    assert 4500 < watched.last < 6500


def test_rounding_is_no_drift() -> None:
    """A learner that answers constant labels rightly but for rounding would be said to drift."""
    errors = np.zeros(6000)
    errors[3000:] = 1e-13
    watched = watch("adwin", Task.REGRESSION)
    feed_numbers(watched, errors)
    assert watched.drifts == 0


def test_rows_that_are_not_learned_say_nothing() -> None:
    """A source beyond its share could have a model reset by sending wrong labels."""
    watched = watch("adwin")
    mistaken = wrong([0.1, 0.9], 3000)
    answers, targets = torch.tensor([0.2, 0.8]).expand(6000, 2), torch.from_numpy(1 - mistaken.astype(np.int64))
    weights = np.repeat(np.array([1, 0], np.float32), 3000)
    for start in range(0, 6000, 64):
        part = slice(start, start + 64)
        watched.update(answers[part], targets[part], weights[part])
    assert watched.drifts == 0


def test_nothing_known_is_no_error() -> None:
    """The first microbatch, answered before any label, would stand for the learner's errors."""
    watched = watch("adwin", Task.REGRESSION)
    watched.update(None, torch.full((64,), 1e9, dtype=torch.float64), np.ones(64, np.float32))
    feed_numbers(watched, np.ones(GATHERED + 500))
    assert watched.state()[0]["typical"] == 1.0
    assert watched.state()[0]["rows"] == 64 + GATHERED + 500


def test_no_detector_watches_nothing() -> None:
    """`detector: none` would cost time and count drifts all the same."""
    watched = watch("none")
    assert set(feed(watched, wrong([0.0, 1.0], 2000))) == {0}
    assert watched.drifts == 0


@pytest.mark.parametrize("at", [64, 1984, 2048, 2560, 3200])
@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_restored_watch_goes_on_exactly(detector: Detector, task: Task, at: int) -> None:
    """After a restart the same events would have another drift, and a reaction would give other parameters."""
    mistaken = wrong([0.1, 0.6], 2000, 5)
    errors = np.abs(np.random.default_rng(3).normal(size=4000)) * np.repeat([1.0, 7.0], 2000)

    def go_on(watched: DriftWatch, part: slice) -> None:
        if task is Task.REGRESSION:
            feed_numbers(watched, errors[part])
        else:
            feed(watched, mistaken[part])

    left, right = watch(detector, task), watch(detector, task)
    go_on(left, slice(0, at))
    right.restore(*left.state())
    for part in (slice(at, 3900), slice(3900, 4000)):
        for watched in (left, right):
            go_on(watched, part)
        (meta, arrays), (other_meta, other_arrays) = left.state(), right.state()
        assert meta == other_meta
        assert arrays.keys() == other_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
    assert left.drifts >= 1


def test_errors_underway_are_in_the_state() -> None:
    """On an accelerator a restart would lose the errors of the last microbatches, and find drift elsewhere."""
    mistaken = wrong([0.1, 0.6], 2000, 5)
    left, right, undisturbed = (watch("adwin") for _ in range(3))
    for watched in (left, right, undisturbed):
        watched._underway._lag = 4  # as on an accelerator
    feed(left, mistaken[:2048])
    right.restore(*left.state())
    feed(right, mistaken[2048:])
    feed(undisturbed, mistaken)
    assert (right.drifts, right.last) == (undisturbed.drifts, undisturbed.last)
    assert right.drifts >= 1
    for name, array in undisturbed.state()[1].items():
        np.testing.assert_array_equal(array, right.state()[1][name], err_msg=name)


def test_another_detector_begins_anew_and_keeps_the_count() -> None:
    """A change of the settings would end the trainer, or have the metric go back."""
    left, right = watch("adwin"), watch("page-hinkley")
    feed(left, wrong([0.1, 0.6], 2000))
    right.restore(*left.state())
    assert (right.drifts, right.last) == (left.drifts, left.last)
    feed(right, wrong([0.1, 0.6], 2000))
    assert right.drifts > left.drifts
    right.restore({}, {})
    assert right.drifts > left.drifts
