"""Recursive least squares learns by sums and solutions: what they have to keep to, and what it learns with them."""

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder_layout import HASHED, Layout, Role
from models.examples import FeatureKey, Kind, Label, Task
from models.expert import Encoded, Space
from models.folding import FOLDED, PLAIN, Folding, folded_width
from models.fourier import ARITIES, COUNT, FIRST, FourierFeatures
from models.rls import BLOCK, EARLY, LONG_ROUND, ROUND, RecursiveLeastSquares
from models.rls_solutions import HALF_LIVES, REGRESSIONS, Solutions, due
from tests.support.learning import (
    answers,
    expect_the_same_after_a_restart,
    labelled,
    learner,
    microbatches,
    numbers,
    trained,
)

CPU = torch.device("cpu")


def _space(columns: int, classes: int = 0, layout: Layout | None = None) -> Space:
    """Return a space of numbers; no column is spare."""
    if layout is None:
        layout = Layout(roles=[Role.VALUE] * columns)
    return Space(layout, columns, 0, 0, classes)


def _expert(task: Task, columns: int, classes: int = 0, seed: int = 0) -> RecursiveLeastSquares:
    made = RecursiveLeastSquares(task, "auto", CPU, seed)
    made.grow(_space(columns, classes))
    return made


def _rows(values: Tensor) -> Encoded:
    return Encoded(values, torch.empty((len(values), 0)))


def _learn(made: RecursiveLeastSquares, values: Tensor, targets: Tensor, prior: Tensor, size: int = 64) -> None:
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        made.learn(_rows(values[part]), targets[part], torch.ones(len(targets[part])), prior, None)


def _normal(rows: int, columns: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32))


def test_products_of_two_columns_are_learned() -> None:
    """Smooth functions of pairs, which are most of what streams of numbers hold, would be left to slower experts."""
    values = _normal(4000, 6, 1)
    made = _expert(Task.REGRESSION, 6)
    targets = (values[:, 0] * values[:, 1] + values[:, 2].cos()) / 1.2
    _learn(made, values[:3500], targets[:3500], torch.zeros(1))
    error = made.answers(_rows(values[3500:]), torch.zeros(1))[:, 0] - targets[3500:]
    assert float(error.square().mean()) < 0.1 * float(targets.var())


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_probabilities_are_calibrated(task: Task) -> None:
    """Least squares knows no probabilities; those made of its solutions would be too bold or too timid."""
    random = np.random.default_rng(3)
    classes = 2 if task is Task.BINARY else 3
    values = _normal(6000, 4, 3)
    logits = torch.stack([1.5 * values[:, place] for place in range(classes)], 1)
    chances = logits.softmax(1)
    drawn = torch.from_numpy(random.random(len(values)).astype(np.float32))
    targets = (chances.cumsum(1) < drawn.unsqueeze(1)).sum(1).clamp_(max=classes - 1)
    made, prior = _expert(task, 4, classes), torch.full((classes,), 1 / classes).log()
    _learn(made, values[:5000], targets[:5000], prior)
    found = made.answers(_rows(values[5000:]), prior).exp()
    assert found.sum(1).allclose(torch.ones(len(found)), atol=1e-4)
    assert float((found - chances[5000:]).abs().mean()) < 0.06


def test_old_rows_are_forgotten() -> None:
    """After a drift the old concept would go on being answered for as long as it had lasted."""
    values = _normal(4500, 3, 5)
    made = _expert(Task.REGRESSION, 3)
    targets = torch.where(torch.arange(4500) < 3000, values[:, 0], -values[:, 0])
    _learn(made, values[:4200], targets[:4200], torch.zeros(1))
    error = made.answers(_rows(values[4200:]), torch.zeros(1))[:, 0] - targets[4200:]
    assert float(error.abs().mean()) < 0.4, "the old concept would be wrong by 1.6, and the mean by 0.8"


def test_solutions_are_those_of_weighted_least_squares() -> None:
    """An error in the sums would cost every answer a little, and be noticed nowhere else."""
    features, targets = _normal(300, 5, 7), _normal(300, 2, 8)
    weights = torch.linspace(0.5, 1.5, 300)
    made = Solutions(CPU)
    made.grow(5, 2)
    for start in range(0, 300, 100):
        part = slice(start, start + 100)
        made.add(features[part], targets[part], weights[part])
    made.solve(range(len(REGRESSIONS)))
    for place, regression in enumerate(REGRESSIONS):
        ages = torch.tensor([200, 100, 0]).repeat_interleave(100)
        counted = (weights * 0.5 ** (ages / HALF_LIVES[regression.memory])).double()
        scaled = features.double() * counted.unsqueeze(1)
        squares = scaled.T @ features.double() + regression.ridge * torch.eye(5).double()
        expected = torch.linalg.solve(squares, scaled.T @ targets.double())
        torch.testing.assert_close(made.weights[:, place].double(), expected, atol=1e-4, rtol=1e-3)


def test_where_nothing_can_be_solved_the_solution_before_stays() -> None:
    """One block of rows that float32 cannot bear would turn all answers into what is not a number."""
    features, targets = _normal(200, 5, 9), _normal(200, 1, 10)
    made = Solutions(CPU)
    made.grow(5, 1)
    made.add(features, targets, torch.ones(200))
    made.solve([0])
    before = made.weights.clone()
    made.squares[0, 1, 1] = -1e9  # no sum of squares
    made.products[0] = torch.nan
    made.solve([0, 1])
    assert torch.equal(made.weights, before)
    assert made.known.tolist() == [1.0] + [0.0] * (len(REGRESSIONS) - 1)


def test_other_units_of_the_target_are_the_same_answers() -> None:
    """Whenever the target's scale is renewed, all that was learned would be wrong."""
    values = _normal(700, 3, 11)
    made, other = (_expert(Task.REGRESSION, 3) for _ in range(2))
    targets = values[:, 0] + 0.5
    _learn(made, values[:650], targets[:650], torch.zeros(1), size=50)  # ten rows wait for a block
    _learn(other, values[:650], targets[:650], torch.zeros(1), size=50)
    other.rescale(0.25, -2.0)
    asked = _rows(values[650:])
    expected = made.answers(asked, torch.zeros(1))
    # Weights of the solutions sum to about 1, not exactly, so that a shift is kept about.
    torch.testing.assert_close(other.answers(asked, torch.zeros(1)), 0.25 * expected - 2.0, atol=0.05, rtol=0.05)
    _learn(made, values[650:], targets[650:], torch.zeros(1))
    _learn(other, values[650:], 0.25 * targets[650:] - 2.0, torch.zeros(1))
    shares, others = made.state()[1], other.state()[1]
    torch.testing.assert_close(
        0.25 * shares["solutions/products"] - 2.0 * shares["solutions/squares"][:, :, :1],
        others["solutions/products"],
        atol=0.5,
        rtol=1e-3,
    )


def _solved(size: int, rows: int) -> list[int]:
    """Return how many solutions were solved at each microbatch."""
    values = _normal(rows, 2, 13)
    made = _expert(Task.REGRESSION, 2)
    counts = []
    with patch.object(Solutions, "solve", autospec=True, side_effect=Solutions.solve) as solve:
        for start in range(0, rows, size):
            _learn(made, values[start : start + size], values[start : start + size, 0], torch.zeros(1), size)
            counts.append(sum(len(call.args[1]) for call in solve.call_args_list))
            solve.reset_mock()
    return counts


def test_the_cost_of_rows_is_bounded_at_every_size() -> None:
    """A stream of single events would be solved anew for each, and learned a hundred times more slowly."""
    single = _solved(1, EARLY + 4 * BLOCK)[EARLY + 1 :]
    assert max(single) == 2, "a row never has more solved than a block"
    assert sum(single) == 2 * 4, "and most rows nothing"
    assert _solved(BLOCK, EARLY + 4 * BLOCK)[-4:] == [2, 2, 2, 2]
    assert _solved(16 * BLOCK, 6 * 16 * BLOCK)[-1] == len(REGRESSIONS), "each at most once, however many rows come"


@pytest.mark.parametrize("length", [ROUND, LONG_ROUND])
def test_each_solution_has_its_turn(length: int) -> None:
    """One would be what it was after the first rows for ever."""
    turns = [due(block, length) for block in range(2 * length)]
    assert set().union(*turns) == set(range(len(REGRESSIONS)))
    assert max(map(len, turns)) == 2
    counts = [sum(place in turn for turn in turns) for place in range(len(REGRESSIONS))]
    assert counts == [length, length, 2, 2, 2, 2]


def test_rows_wait_for_a_block_and_are_not_lost() -> None:
    """The rows at the end of each microbatch would never be learned."""
    values = _normal(1000, 2, 15)
    sums = []
    for size in (1, 7, 40, 1000):
        made = _expert(Task.REGRESSION, 2)
        _learn(made, values[:960], values[:960, 0], torch.zeros(1), size)
        state = made.state()[1]
        waiting = float(state.get("waiting/weights", torch.zeros(0)).sum())
        assert waiting < BLOCK
        sums.append(float(state["solutions/squares"][2, 0, 0]) + waiting)
    expected = sum(0.5 ** (age / HALF_LIVES[2]) for age in range(960))
    np.testing.assert_allclose(sums, expected, rtol=2e-3)


def test_columns_and_classes_that_come_change_no_answer() -> None:
    """Each new feature or class would cost what was learned before it."""
    values = _normal(1000, 3, 17)
    targets, prior = (values[:, 0] > 0).long(), torch.tensor([0.5, 0.5]).log()
    made = _expert(Task.MULTICLASS, 3, 2)
    _learn(made, values[:900], targets[:900], prior, 50)
    asked = values[900:]
    before = made.answers(_rows(asked), prior).exp()
    made.grow(_space(5, 3, Layout(roles=[Role.VALUE] * 3)))  # two spare columns
    wider = torch.tensor([0.4995, 0.4995, 0.001]).log()
    after = made.answers(_rows(torch.nn.functional.pad(asked, (0, 2))), wider).exp()
    assert float((after[:, :2] - before).abs().max()) < 0.12
    assert (before.argmax(1) == after.argmax(1)).float().mean() > 0.98


def test_new_columns_get_their_share_of_the_features() -> None:
    """A column that comes later could only count linearly, or those before it would lose all."""
    made = FourierFeatures(0, CPU)
    assert len(made.grow(Layout(roles=[Role.VALUE] * 6), 8)) == COUNT
    before = made.projection.clone()
    drawn = made.grow(Layout(roles=[Role.VALUE] * 8), 8)
    assert len(drawn) == round(COUNT * 2 / 8)
    places = np.array(drawn) - 1
    assert bool((made.projection[6:, places] != 0).any(0).all()), "each looks at a new column"
    kept = np.setdiff1d(np.arange(COUNT), places)
    assert torch.equal(made.projection[:, kept], before[:, kept])


def test_each_pair_has_its_turn() -> None:
    """By chance alone some pairs are never looked at, and what depends on them would be learned or not by the seed."""
    for seed in range(3):
        made = FourierFeatures(seed, CPU)
        made.grow(Layout(roles=[Role.VALUE] * 10), 10)
        pairs = made.projection[:, torch.from_numpy(ARITIES == 2)] != 0
        assert len({tuple(pair.nonzero()[:, 0].tolist()) for pair in pairs.T}) == 45


def test_heavy_tails_and_hashed_strings_do_not_crowd_out_numbers() -> None:
    """Columns that are nearly always 0 would take most features, and say little with them."""
    layout = Layout(roles=[Role.VALUE] * (5 + HASHED), tails=[4], hashed=5)
    layout.strings = {FeatureKey("city", Kind.CATEGORY): -1}
    made = FourierFeatures(0, CPU)
    made.grow(layout, 5 + HASHED)
    few = made.projection[:, torch.from_numpy(ARITIES > 0)] != 0
    assert not bool(few[4].any())
    assert float(few[:4].sum() / few.sum()) > 1 / 4


def test_a_column_that_carries_another_feature_begins_anew() -> None:
    """What was learned of one feature would be answered for another."""
    values = _normal(1500, 3, 19)
    made = _expert(Task.REGRESSION, 3)
    _learn(made, values, 2 * values[:, 1], torch.zeros(1), 70)
    far = torch.zeros((1, 3))
    far[0, 1] = 2.0
    assert abs(float(made.answers(_rows(far), torch.zeros(1)))) > 2
    made.renew([1], [])
    assert abs(float(made.answers(_rows(far), torch.zeros(1)))) < 0.5
    _learn(made, values, 2 * values[:, 0], torch.zeros(1))
    assert abs(float(made.answers(_rows(far), torch.zeros(1)))) < 1


def test_thousands_of_columns_are_folded() -> None:
    """A stream that names thousands of features would take a second for each microbatch."""
    wide = _normal(20, 2000, 21)
    folded = Folding()(wide)
    assert folded.shape == (20, PLAIN + FOLDED)
    assert torch.equal(folded[:, :PLAIN], wide[:, :PLAIN])
    lengths = (folded[:, PLAIN:].square().sum(1) / wide[:, PLAIN:].square().sum(1)).tolist()
    assert 0.5 < float(np.mean(lengths)) < 2, "signs keep lengths about what they were"
    made = _expert(Task.REGRESSION, 2000)
    _learn(made, wide, wide[:, 0], torch.zeros(1))
    assert made.state()[1]["solutions/squares"].shape[1] == FIRST + folded_width(2000)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("size", [1, 50])
def test_what_is_restored_or_published_is_the_same(task: Task, size: int) -> None:
    """After a restart other parameters would carry the same version; a server would answer other than the trainer."""
    made = trained(task, kind="rls")
    for given in microbatches(task, 3, size, first=20):  # rows wait for a block
        made.learn(given)
    asked = next(microbatches(task, 1, 40, first=50)).features
    expect_the_same_after_a_restart(made, microbatches(task, 4, size, first=30), asked)


def test_it_starts_with_the_prior() -> None:
    """What knows nothing would answer something all the same."""
    made = _expert(Task.MULTICLASS, 2, 3)
    prior = torch.tensor([0.7, 0.2, 0.1]).log()
    torch.testing.assert_close(made.answers(_rows(_normal(4, 2, 23)), prior), prior.expand(4, -1))
    assert made.answers(_rows(torch.empty((0, 2))), prior).shape == (0, 3)


def _reversed(labels: Sequence[Label]) -> list[Label]:
    return ["no" if label == "yes" else "yes" for label in labels]


def test_weights_count() -> None:
    """Events that matter ten times as much would count like any other."""
    random = np.random.default_rng(25)
    values = random.normal(size=(3000, 2))
    labels: list[Label] = ["yes" if value > 0 else "no" for value in values[:, 0]]
    heavy = random.random(3000) < 0.4
    told = [label if kept else other for label, other, kept in zip(labels, _reversed(labels), heavy, strict=True)]
    weights = np.where(heavy, 3.0, 0.5).astype(np.float32)
    made = learner(Task.BINARY, kind="rls")
    given = labelled(numbers(values), told, weights)
    for start in range(0, 3000, 100):
        made.learn(given.slice(start, start + 100))
    chosen = answers(made, numbers(values)).argmax(1)
    right = [made.model.targets.classes[place] == label for place, label in zip(chosen, labels, strict=True)]
    assert np.mean(right) > 0.9, "the heavy ones are right, though they are fewer"
