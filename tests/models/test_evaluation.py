"""Scores against direct computations, River's metrics among them; baselines at equal delay; exact continuation."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from river import metrics

from models.errors import StateMismatch
from models.evaluation import BLOCK, Prequential
from models.evaluation_classes import PROBABILITY_FLOOR
from models.examples import Task

Floats = NDArray[np.float64]
RIVER: Any = metrics  # its classes carry no types


def cuts(rows: int, seed: int = 0) -> Iterator[slice]:
    """Cut `rows` rows into microbatches of many sizes, some larger than a block."""
    random = np.random.default_rng(seed)
    start = 0
    while start < rows:
        size = int(random.choice([1, 3, 64, 500, BLOCK, 2 * BLOCK + 7])) if start else 64
        yield slice(start, start + size)
        start += size


def classified(rows: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return probabilities that know something of the targets, targets, and weights."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (rows,), generator=random)
    logits = 2 * torch.randn((rows, classes), generator=random)
    logits[torch.arange(rows), targets] += 1.5
    weights = torch.rand(rows, generator=random) * 2
    return logits.softmax(1), targets, weights


def fed(
    evaluation: Prequential, predictions: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, seed: int = 0
) -> Prequential:
    """Return `evaluation` after all rows, in microbatches."""
    evaluation.grow(int(predictions.shape[1]) if predictions.dim() == 2 else 0)
    for cut in cuts(len(targets), seed):
        evaluation.update(predictions[cut], targets[cut], weights[cut].numpy())
    return evaluation


def informed(task: Task, window: int) -> Prequential:
    """Return an evaluation of somebody who had learned labels before."""
    return Prequential(task, window, "cpu", learned=True)


def exact_area(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> float:
    """Return the area under the ROC curve by comparing every pair."""
    above = (scores[positive][:, None] > scores[~positive][None]) + 0.5 * (
        scores[positive][:, None] == scores[~positive][None]
    )
    pairs = weights[positive][:, None] * weights[~positive][None]
    return float((above * pairs).sum() / pairs.sum())


@pytest.mark.parametrize("classes", [2, 5])
def test_class_scores_are_rivers(classes: int) -> None:
    """A score would not mean what its name says."""
    probabilities, targets, _ = classified(4000, classes)
    task = Task.BINARY if classes == 2 else Task.MULTICLASS
    scores = fed(informed(task, 500), probabilities, targets, torch.ones(4000)).scores()["stream"]
    accuracy, balanced, log_loss = RIVER.Accuracy(), RIVER.BalancedAccuracy(), RIVER.CrossEntropy()
    for row, target in zip(probabilities.double().tolist(), targets.tolist(), strict=True):
        accuracy.update(target, int(np.argmax(row)))
        balanced.update(target, int(np.argmax(row)))
        log_loss.update(target, dict(enumerate(row)))
    assert scores["accuracy"] == pytest.approx(accuracy.get())
    assert scores["balanced_accuracy"] == pytest.approx(balanced.get())
    assert scores["log_loss"] == pytest.approx(log_loss.get(), rel=1e-6)
    assert scores["count"] == scores["scored"] == 4000
    assert ("roc_auc" in scores) == (classes == 2)


def test_weights_weigh() -> None:
    """An event of weight 3 would count as much as one of weight 1."""
    probabilities, targets, weights = classified(3000, 3)
    scores = fed(informed(Task.MULTICLASS, 700), probabilities, targets, weights).scores()
    rows, w = np.arange(3000), weights.double().numpy()
    p, t = probabilities.double().numpy(), targets.numpy()
    hit = p.argmax(1) == t
    for scope, part in (("stream", slice(0, 3000)), ("window", slice(2300, 3000))):
        assert scores[scope]["accuracy"] == pytest.approx(np.average(hit[part], weights=w[part]))
        recalls = [np.average(hit[part][t[part] == c], weights=w[part][t[part] == c]) for c in range(3)]
        assert scores[scope]["balanced_accuracy"] == pytest.approx(np.mean(recalls))
        expected = np.average(-np.log(p[rows, t][part]), weights=w[part])
        assert scores[scope]["log_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("spread", [0.05, 1.0, 6.0])
def test_area_under_the_curve_is_right_to_a_thousandth(spread: float) -> None:
    """Timid or overconfident scores would share bins, and the area would drift."""
    random = np.random.default_rng(1)
    positive = random.random(3000) < 0.2
    logit = spread * (random.normal(size=3000) + 1.2 * positive - 1)
    score = torch.tensor(1 / (1 + np.exp(-logit)), dtype=torch.float32)
    weights = torch.tensor(random.choice([0.5, 1, 2], 3000), dtype=torch.float32)
    both = torch.stack([1 - score, score], 1)
    scores = fed(informed(Task.BINARY, 900), both, torch.tensor(positive).long(), weights).scores()
    exact = exact_area(score.double().numpy(), positive, weights.double().numpy())
    recent = exact_area(score.double().numpy()[-900:], positive[-900:], weights.double().numpy()[-900:])
    assert scores["stream"]["roc_auc"] == pytest.approx(exact, abs=1e-3)
    assert scores["window"]["roc_auc"] == pytest.approx(recent, abs=1e-3)


@pytest.mark.parametrize("window", [1, 100, BLOCK, BLOCK + 1, 2500, 10_000])
def test_the_window_is_exactly_the_last_rows(window: int) -> None:
    """The recent score would take in rows of long ago, or forget some too early."""
    probabilities, targets, _ = classified(5000, 4)
    scores = fed(informed(Task.MULTICLASS, window), probabilities, targets, torch.ones(5000)).scores()
    recent = (probabilities.argmax(1) == targets)[-window:]
    assert scores["window"]["count"] == len(recent)
    assert scores["window"]["accuracy"] == pytest.approx(recent.double().mean().item())


def test_a_class_that_was_not_predicted_counts_as_wrong() -> None:
    """A learner that had not this class to offer would be credited with the first column."""
    evaluation = Prequential(Task.MULTICLASS, 10, "cpu")
    evaluation.grow(1)
    evaluation.update(torch.zeros((2, 0)), torch.zeros(2, dtype=torch.int64), np.ones(2, np.float32))
    evaluation.grow(3)
    one = np.ones(1, np.float32)
    evaluation.update(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([2]), one)
    evaluation.update(torch.zeros((1, 1)), torch.tensor([0]), one)  # no prediction, though a label was known
    evaluation.update(torch.tensor([[1.0]]), torch.tensor([0]), one)
    scores = evaluation.scores()["stream"]
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["log_loss"] == pytest.approx(-math.log(PROBABILITY_FLOOR) * 2 / 3, rel=1e-6)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_was_answered_before_any_label_was_learned_is_not_scored(task: Task, one_by_one: bool) -> None:
    """Who is asked before anything is known would be ahead or behind by that, and a short stream's score be made of it.

    A row of weight 0 teaches nothing: while there are no others, nothing is learned.
    """
    predictions, targets, _ = stream_of(task)
    given = [(slice(0, 5), 0.0), (slice(5, 10), 1.0), (slice(10, 30), 1.0)]
    first = 6 if one_by_one else 10
    found, expected = (Prequential(task, window, "cpu", one_by_one=one_by_one) for window in (15, 20))
    for part, weight in given:
        for evaluation, known in ((found, True), (expected, False)):
            evaluation.grow(6)
            # Neither what is answered there counts, nor what is not.
            answers = predictions[part].clone()
            answers[: max(0, min(len(answers), first - part.start))] *= known
            evaluation.update(answers, targets[part], np.full(len(answers), weight, np.float32))
    scores = found.scores()
    assert scores["stream"] == expected.scores()["stream"]
    assert [scores["stream"][name] for name in ("count", "scored")] == [30, 30 - first]
    assert [scores["window"][name] for name in ("count", "scored")] == [15, 15]
    assert expected.scores()["window"]["scored"] == 20
    rows = slice(first, 30)
    if task is Task.REGRESSION:
        assert scores["stream"]["mae"] == pytest.approx((predictions[rows] - targets[rows]).abs().mean().item())
    else:
        right = predictions[rows].argmax(1) == targets[rows]
        assert scores["stream"]["accuracy"] == pytest.approx(right.double().mean().item())


def expected_baselines(targets: Sequence[int], parts: Sequence[slice]) -> tuple[float, float]:
    """Return the accuracies of the majority and of the last label, each known at the beginning of each part."""
    counts: Counter[int] = Counter(targets[parts[0]])
    last = targets[parts[0]][-1]
    majority_hits = last_hits = 0
    for part in parts[1:]:
        commonest = min((-count, label) for label, count in counts.items())[1]
        majority_hits += sum(target == commonest for target in targets[part])
        last_hits += sum(target == last for target in targets[part])
        counts.update(targets[part])
        last = targets[part][-1]
    scored = len(targets) - parts[0].stop
    return majority_hits / scored, last_hits / scored


@pytest.mark.parametrize("one_by_one", [False, True])
def test_baselines_of_classes_have_the_models_delay(one_by_one: bool) -> None:
    """No-change would be given labels that the model did not have, and no model would beat it."""
    random = np.random.default_rng(0)
    targets = np.repeat(random.integers(3, size=400), random.integers(1, 20, 400))
    parts = list(cuts(len(targets)))
    evaluation = Prequential(Task.MULTICLASS, 10, "cpu", one_by_one=one_by_one)
    fed(evaluation, torch.full((len(targets), 3), 1 / 3), torch.tensor(targets), torch.ones(len(targets)))
    if one_by_one:
        parts = [slice(row, row + 1) for row in range(len(targets))]
    majority, last = expected_baselines(targets.tolist(), parts)
    scores = evaluation.scores()["stream"]
    assert scores["majority_accuracy"] == pytest.approx(majority)
    assert scores["no_change_accuracy"] == pytest.approx(last)


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_number_scores_are_rivers(offset: float) -> None:
    """R² of labels far from zero would be rounding noise."""
    random = np.random.default_rng(0)
    targets = offset + random.normal(size=5000)
    values = targets + 0.5 * random.normal(size=5000)
    evaluation = Prequential(Task.REGRESSION, 800, "cpu")
    evaluation.update(torch.zeros(1), torch.tensor([offset]), np.ones(1, np.float32))  # before any label: not scored
    fed(evaluation, torch.tensor(values), torch.tensor(targets), torch.ones(5000))
    scores = evaluation.scores()
    assert (scores["stream"]["count"], scores["stream"]["scored"]) == (5001, 5000)
    for scope, part in (("stream", slice(0, 5000)), ("window", slice(4200, 5000))):
        mae, rmse, r2 = RIVER.MAE(), RIVER.RMSE(), RIVER.R2()
        for target, value in zip((targets[part] - offset).tolist(), (values[part] - offset).tolist(), strict=True):
            for metric in (mae, rmse, r2):
                metric.update(target, value)
        assert scores[scope]["mae"] == pytest.approx(mae.get())
        assert scores[scope]["rmse"] == pytest.approx(rmse.get())
        assert scores[scope]["loss"] == pytest.approx(rmse.get() ** 2)
        assert scores[scope]["r2"] == pytest.approx(r2.get())


@pytest.mark.parametrize("one_by_one", [False, True])
def test_baselines_of_numbers_have_the_models_delay(one_by_one: bool) -> None:
    """The mean and the last label would be known to the baselines before they were to the model."""
    random = np.random.default_rng(3)
    targets = 1e6 + random.normal(size=3000).cumsum()
    weights = random.choice([0.5, 1.0, 2.0], 3000)
    parts = [slice(row, row + 1) for row in range(3000)] if one_by_one else list(cuts(3000))
    evaluation = Prequential(Task.REGRESSION, 10, "cpu", one_by_one=one_by_one)
    fed(evaluation, torch.zeros(3000), torch.tensor(targets), torch.tensor(weights, dtype=torch.float32))
    mean_error = last_error = scored = 0.0
    for part in parts[1:]:
        before = slice(0, part.start)
        mean = np.average(targets[before], weights=weights[before])
        mean_error += (np.abs(targets[part] - mean) * weights[part]).sum()
        last_error += (np.abs(targets[part] - targets[part.start - 1]) * weights[part]).sum()
        scored += weights[part].sum()
    scores = evaluation.scores()["stream"]
    assert scores["mean_mae"] == pytest.approx(mean_error / scored)
    assert scores["no_change_mae"] == pytest.approx(last_error / scored)


def stream_of(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return predictions, targets and weights of some task."""
    probabilities, targets, weights = classified(4000, 2 if task is Task.BINARY else 6)
    if task is Task.REGRESSION:
        return probabilities[:, 0].double() + 50, targets.double() + 50, weights
    return probabilities, targets, weights


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("stop", [0, 10, BLOCK, 2500])
def test_restored_goes_on_bit_for_bit(task: Task, stop: int) -> None:
    """After a restart the scores would no longer be those of one uninterrupted stream."""
    predictions, targets, weights = stream_of(task)
    whole, first, second = (Prequential(task, 1500, "cpu") for _ in range(3))
    fed(first, predictions[:stop], targets[:stop], weights[:stop])
    fed(whole, predictions[:stop], targets[:stop], weights[:stop])
    whole.scores()  # asking in between changes nothing
    second.restore(*first.state())
    for evaluation in (whole, second):
        fed(evaluation, predictions[stop:], targets[stop:], weights[stop:], seed=1)
    assert second.scores() == whole.scores()
    (meta, arrays), (other_meta, other_arrays) = second.state(), whole.state()
    assert meta == other_meta
    assert arrays.keys() == other_arrays.keys()
    assert all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)


@pytest.mark.parametrize(("before", "after"), [(3000, 200), (200, 3000)])
def test_another_window_takes_effect_on_restoring(before: int, after: int) -> None:
    """Changing one setting would cost the scores of the whole stream, or the service its start."""
    probabilities, targets, weights = stream_of(Task.MULTICLASS)
    first, second = Prequential(Task.MULTICLASS, before, "cpu"), Prequential(Task.MULTICLASS, after, "cpu")
    fed(first, probabilities[:3500], targets[:3500], weights[:3500])
    second.restore(*first.state())
    fed(second, probabilities[3500:], targets[3500:], weights[3500:], seed=1)
    hit = (probabilities.argmax(1) == targets).numpy()
    expected = np.average(hit[64:], weights=weights.double().numpy()[64:])  # without the first microbatch
    assert second.scores()["stream"]["accuracy"] == pytest.approx(expected)
    if after < before:
        recent = np.average(hit[-after:], weights=weights.double().numpy()[-after:])
        assert second.scores()["window"]["accuracy"] == pytest.approx(recent)


def test_the_state_of_another_task_is_refused() -> None:
    """Sums of classes would be taken for sums of numbers."""
    with pytest.raises(StateMismatch, match="regression"):
        Prequential(Task.BINARY, 10, "cpu").restore(*Prequential(Task.REGRESSION, 10, "cpu").state())


@pytest.mark.parametrize("task", list(Task))
def test_one_broken_prediction_does_not_spoil_the_rest(task: Task) -> None:
    """One NaN or infinity would make every later score of the whole stream NaN."""
    predictions, targets, weights = stream_of(task)
    evaluation = fed(Prequential(task, 1500, "cpu"), predictions, targets, weights)
    broken = predictions[:3].clone()
    broken[0], broken[1], broken[2] = math.nan, math.inf, -math.inf
    heavy = np.array([1.0, 3e38, 1.0], np.float32)
    evaluation.update(broken, targets[:3], heavy, torch.full((3,), math.inf))
    fed(evaluation, predictions, targets, weights)
    scores = evaluation.scores()
    assert all(math.isfinite(value) for scope in scores.values() for value in scope.values())


def test_nothing_seen_is_nothing_said() -> None:
    """A dashboard would show a perfect, or a NaN, score before the first event."""
    for task in Task:
        evaluation = Prequential(task, 10, "cpu")
        nothing = {"count": 0.0, "scored": 0.0}
        assert evaluation.scores() == {"stream": nothing, "window": nothing}
    evaluation.update(torch.zeros(2), torch.ones(2), np.zeros(2, np.float32))
    assert evaluation.scores()["stream"] == {"count": 2.0, "scored": 0.0}


def test_the_learners_own_loss_is_reported() -> None:
    """`loss` would be the log loss whatever the learner optimises."""
    probabilities, targets, weights = classified(100, 2)
    evaluation = informed(Task.BINARY, 10)
    evaluation.update(probabilities, targets, weights.numpy(), torch.full((100,), 0.125))
    assert evaluation.scores()["stream"]["loss"] == pytest.approx(0.125)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("task", list(Task))
def test_an_update_never_waits_for_the_device(task: Task) -> None:
    """Every microbatch would wait until the device has caught up."""
    given = stream_of(task)
    weights = given[2].numpy()
    there = [tensor.cuda() for tensor in given[:2]]
    on_device, on_host = Prequential(task, 1500, "cuda"), Prequential(task, 1500, "cpu")
    for evaluation in (on_device, on_host):
        evaluation.grow(6)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for start in range(0, 4000, 500):
            predictions, targets = (tensor[start : start + 500] for tensor in there)
            on_device.update(predictions, targets, weights[start : start + 500])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for start in range(0, 4000, 500):
        predictions, targets = (tensor[start : start + 500] for tensor in given[:2])
        on_host.update(predictions, targets, weights[start : start + 500])
    for scope, scores in on_device.scores().items():
        assert scores == pytest.approx(on_host.scores()[scope], rel=1e-6)
