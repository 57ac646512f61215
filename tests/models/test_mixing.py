"""Answers of experts become one that is at least as good as the best of them, whatever they answer."""

import pytest
import torch
from torch import Tensor

from models.examples import Task
from models.mixing import EARLY, FARTHEST, MEMORIES, Mixing

CPU = torch.device("cpu")
CLASSES = 3
ROWS = 64


def _classes(rows: int, seed: int, *sharpness: float, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Return labels, and log probabilities of experts, who see each by noise of its own, as surely as they please.

    Noise is such that a sharpness of 1 is calibrated.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (rows,), generator=generator)
    seen = torch.randn((rows, len(sharpness), classes), generator=generator)
    seen += torch.nn.functional.one_hot(targets, classes).unsqueeze(1)
    return targets, (seen * torch.tensor(sharpness).view(-1, 1)).log_softmax(2)


def _numbers(rows: int, seed: int, *noise: float) -> tuple[Tensor, Tensor]:
    """Return numbers, and what experts answer, each with noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(rows, generator=generator)
    errors = torch.randn((rows, len(noise)), generator=generator) * torch.tensor(noise)
    return targets, (targets.unsqueeze(1) + errors).unsqueeze(2)


def _learned(
    task: Task, targets: Tensor, answers: Tensor, size: int = ROWS, loss: str = "auto"
) -> tuple[Mixing, Tensor]:
    """Return a mixing that learned these, and its answers before it learned each microbatch."""
    mixing = Mixing(answers.shape[1], task, loss, CPU)
    answered = []
    for start in range(0, len(targets), size):
        cleaned = _clean(mixing, answers[start : start + size])
        answered.append(mixing.answer(cleaned))
        mixing.learn(cleaned, targets[start : start + size], torch.ones(len(cleaned)))
    return mixing, torch.cat(answered)


def _clean(mixing: Mixing, answers: Tensor) -> Tensor:
    """Return answers as the mixture hands them over; the prior says that all classes are as likely, or zero."""
    return mixing.blend.clean(answers.unbind(1), torch.zeros(answers.shape[2]).log_softmax(0))


def _log_loss(answers: Tensor, targets: Tensor) -> float:
    return float(torch.nn.functional.nll_loss(answers, targets))


def test_experts_that_complement_one_another_are_better_together() -> None:
    """The mixture would only pick one of its experts, and all the others would be for nothing."""
    targets, answers = _classes(6_400, 1, 1.0, 1.0, 0.0)
    mixing, mixed = _learned(Task.MULTICLASS, targets, answers)
    best = _log_loss(answers[3_200:, 0], targets[3_200:])
    assert _log_loss(mixed[3_200:], targets[3_200:]) < best - 0.1
    numbers, values = _numbers(6_400, 1, 0.5, 0.5, 3.0)
    weighed, one = _learned(Task.REGRESSION, numbers, values)
    errors = (one[3_200:, 0] - numbers[3_200:]).abs().mean()
    assert float(errors) < 0.8 * float((values[3_200:, 0, 0] - numbers[3_200:]).abs().mean())
    for worth in (mixing.worth(), weighed.worth()):
        assert float(worth.sum()) == pytest.approx(1.0, abs=1e-5)
        assert float(worth[2]) < 0.2


def test_experts_that_are_too_sure_are_not_believed() -> None:
    """Probabilities of 0.99 would be served for what is right seven times of ten: shares alone cannot mend that."""
    targets, answers = _classes(6_400, 2, 4.0, 4.0)
    _, mixed = _learned(Task.MULTICLASS, targets, answers)
    sure, chosen = mixed[3_200:].exp().max(1)
    right = (chosen == targets[3_200:]).float()
    assert abs(float(sure.mean() - right.mean())) < 0.03
    assert float(answers[3_200:, 0].exp().amax(1).mean() - right.mean()) > 0.1


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_an_expert_whose_time_has_come_is_soon_back(task: Task) -> None:
    """After a drift the answers would stay those of the expert that was right before it."""
    made = _numbers(12_800, 3, 0.1, 0.1) if task is Task.REGRESSION else _classes(12_800, 3, 1.0, 1.0)
    targets, answers = made[0], made[1].clone()
    answers[:6_400, 1], answers[6_400:, 0] = answers[6_400:, 0].clone(), answers[:6_400, 1].clone()
    _, mixed = _learned(task, targets, answers)
    after = slice(6_400 + 1_280, None)
    if task is Task.REGRESSION:
        assert float((mixed[after, 0] - targets[after]).abs().mean()) < 0.3, "the other one is 1.1 off"
    else:
        assert _log_loss(mixed[after], targets[after]) < _log_loss(answers[after, 1], targets[after]) + 0.03


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
@pytest.mark.parametrize("spoiled", [float("nan"), float("inf"), float("-inf"), 3e38, -3e38])
def test_what_an_expert_answers_cannot_spoil_the_others(task: Task, spoiled: float) -> None:
    """One expert that breaks would take the model with it."""
    made = _numbers(1_280, 4, 0.5, 0.5) if task is Task.REGRESSION else _classes(1_280, 4, 1.0, 1.0)
    targets, answers = made
    answers[640:, 1] = spoiled
    mixing, mixed = _learned(task, targets, answers)
    assert torch.isfinite(mixed).all()
    assert all(torch.isfinite(tensor).all() for tensor in mixing.held())
    if task is Task.REGRESSION:
        assert float((mixed[960:, 0] - targets[960:]).abs().mean()) < 0.6, "twice the error of the sound one is 0.8"
    else:
        assert _log_loss(mixed[960:], targets[960:]) < _log_loss(answers[960:, 0], targets[960:]) + 0.1


@pytest.mark.parametrize("loss", ["auto", "mse", "mae"])
def test_a_target_far_out_does_not_decide(loss: str) -> None:
    """A single 1e30 would throw all weights away."""
    targets, answers = _numbers(2_560, 5, 0.5, 0.5)
    targets = targets.clone()
    targets[1_280] = 1e30
    mixing, mixed = _learned(Task.REGRESSION, targets, answers, loss=loss)
    assert all(torch.isfinite(tensor).all() for tensor in mixing.held())
    assert float((mixed[1_600:, 0] - targets[1_600:]).abs().mean()) < 0.5


def test_how_hard_a_target_is_does_not_matter() -> None:
    """Where errors are a thousandth of the target's spread, experts would be told apart a million times more slowly."""
    losses = []
    for unit in (1.0, 1e-3):
        targets, answers = _numbers(1_920, 6, 0.2 * unit, 1.0 * unit)
        _, mixed = _learned(Task.REGRESSION, targets, answers)
        losses.append(float((mixed[960:, 0] - targets[960:]).abs().mean()) / unit)
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    assert max(losses) < 0.2, "the better expert's is 0.16"


def test_the_loss_of_the_configuration_decides_between_mean_and_median() -> None:
    """Whoever asks for squared errors would get the median where errors are lopsided, and the other way about."""
    generator = torch.Generator().manual_seed(7)
    lopsided = torch.where(torch.rand(6_400, generator=generator) < 0.1, 5.0, 0.0)
    answers = torch.stack([torch.zeros(6_400), torch.ones(6_400)], 1).unsqueeze(2)
    found = {loss: float(_learned(Task.REGRESSION, lopsided, answers, loss=loss)[1][-1]) for loss in ("mse", "mae")}
    assert found["mse"] == pytest.approx(0.5, abs=0.15), "the mean"
    assert found["mae"] == pytest.approx(0.0, abs=0.1), "the median"


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_a_large_microbatch_is_learned_as_well_as_small_ones(task: Task) -> None:
    """One step a microbatch would make its size a learning rate: so many fewer steps, and each too long."""
    made = _numbers(10_240, 8, 0.3, 0.6, 2.0) if task is Task.REGRESSION else _classes(10_240, 8, 2.0, 1.0, 0.0)
    small, large = (_learned(task, *made, size=size)[0] for size in (16, 1_024))
    torch.testing.assert_close(large.weights, small.weights, rtol=0.1, atol=0.05)


def test_a_step_goes_only_so_far() -> None:
    """Where experts are suddenly wrong, and were sure, the step would throw the weights about for thousands of rows."""
    targets, answers = _classes(3_200, 9, 4.0, 4.0)
    mixing, _ = _learned(Task.MULTICLASS, targets, answers)
    before = mixing.weights
    mixing.rows = EARLY  # one step for all of these
    mixing.learn(_clean(mixing, answers[:ROWS]), (targets[:ROWS] + 1) % CLASSES, torch.full((ROWS,), 100.0))
    assert float((mixing.weights - before).abs().max()) == pytest.approx(FARTHEST, abs=1e-5)


def test_rows_count_by_their_weight() -> None:
    """A weight that an event carries would mean nothing to the mixture."""
    targets, answers = _numbers(6_400, 10, 0.1, 0.1)
    answers[::2, 0] += 1.0
    answers[1::2, 1] += 1.0
    relative = torch.tensor([1.9, 0.1]).repeat(3_200)
    mixing = Mixing(2, Task.REGRESSION, "auto", CPU)
    for start in range(0, 6_400, ROWS):
        part = slice(start, start + ROWS)
        mixing.learn(_clean(mixing, answers[part]), targets[part], relative[part])
    worth = mixing.worth().tolist()
    assert worth[1] > 0.7, worth


def test_the_scale_of_a_target_may_change() -> None:
    """When the target's scale is renewed, errors of before would count in units that are no more."""
    targets, answers = _numbers(2_560, 11, 0.3, 0.6)
    mixing, _ = _learned(Task.REGRESSION, targets[:1_280], answers[:1_280])
    other, _ = _learned(Task.REGRESSION, targets[:1_280], answers[:1_280])
    mixing.rescale(0.01)
    for start in range(1_280, 2_560, ROWS):
        part, every = slice(start, start + ROWS), torch.ones(ROWS)
        mixing.learn(_clean(mixing, answers[part] * 0.01), targets[part] * 0.01, every)
        other.learn(_clean(other, answers[part]), targets[part], every)
    torch.testing.assert_close(mixing.shares, other.shares, rtol=0.02, atol=0.02)
    torch.testing.assert_close(mixing.running_losses(), other.running_losses(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_what_is_restored_goes_on_the_same(task: Task) -> None:
    """After a restart the same events would make other parameters under the same version."""
    made = _numbers(1_280, 12, 0.5, 1.0) if task is Task.REGRESSION else _classes(1_280, 12, 1.0, 1.0)
    targets, answers = made
    mixing, _ = _learned(task, targets[:640], answers[:640], size=48)
    again = Mixing(2, task, "auto", CPU)
    again.restore({name: tensor.clone() for name, tensor in mixing.state().items()}, mixing.rows)
    for one in (mixing, again):
        one.learn(_clean(one, answers[640:]), targets[640:], torch.ones(640))
    for name, tensor in mixing.state().items():
        assert torch.equal(tensor, again.state()[name]), name
    assert mixing.rows == again.rows


def test_a_single_class_and_a_single_row() -> None:
    """A stream begins with both."""
    mixing = Mixing(2, Task.BINARY, "auto", CPU)
    for _ in range(3):
        cleaned = _clean(mixing, torch.zeros((1, 2, 1)))
        assert mixing.answer(cleaned).tolist() == [[pytest.approx(0.0, abs=1e-6)]]
        mixing.learn(cleaned, torch.zeros(1, dtype=torch.int64), torch.ones(1))
    assert all(torch.isfinite(tensor).all() for tensor in mixing.held())
    assert mixing.weights.shape == (len(MEMORIES), 2)
