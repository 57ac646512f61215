"""Nearest neighbours: of which rows, by which columns, and what their votes are worth."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder_layout import Layout, Role
from models.examples import Task
from models.expert import Encoded, Space
from models.folding import FOLDED, PLAIN
from models.knn import CAPACITY, COLUMNS, GROUPS, RECENT, RENEWED, NearestNeighbours
from models.relevance import ENOUGH, FLOOR, Relevance
from tests.support.learning import expect_the_same_after_a_restart, microbatches, trained

CPU = torch.device("cpu")


def _space(columns: int, classes: int = 0) -> Space:
    return Space(Layout(roles=[Role.VALUE] * columns), columns, 0, 0, classes)


def _expert(task: Task, columns: int, classes: int = 0) -> NearestNeighbours:
    made = NearestNeighbours(task, "auto", CPU)
    made.grow(_space(columns, classes))
    return made


def _rows(values: Tensor) -> Encoded:
    return Encoded(values, torch.empty((len(values), 0)))


def _normal(rows: int, columns: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32))


def _learn(made: NearestNeighbours, values: Tensor, targets: Tensor, prior: Tensor, size: int = 64) -> None:
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        made.learn(_rows(values[part]), targets[part], torch.ones(len(targets[part])), prior, None)


@pytest.mark.parametrize("size", [1, 700])
@pytest.mark.parametrize("rows", [30, 900, CAPACITY + 300])
def test_the_nearest_rows_are_found(rows: int, size: int) -> None:
    """Votes of rows that are not near, no longer there, or never were would be as good as chance."""
    if size == 1 and rows > CAPACITY:
        rows = CAPACITY + 10
    values = _normal(rows, 3, rows)
    made = _expert(Task.REGRESSION, 3)
    first = max(rows - 40, 0) if size == 1 else 0  # one at a time is the same as many, but slower
    _learn(made, values[:first], values[:first, 0], torch.zeros(1), 1000)
    _learn(made, values[first:], values[first:, 0], torch.zeros(1), size)
    asked, ring = _normal(20, 3, 1), made.published()
    squares, places = made._nearest(asked)
    scales = torch.zeros(3).index_copy_(0, ring["ring/columns"], ring["ring/scales"])
    for among, found, lengths in zip((RECENT, CAPACITY), places, squares, strict=True):
        kept = values[max(rows - among, 0) :] * scales
        expected, best = torch.cdist(asked * scales, kept).square().topk(5, largest=False)
        best = (best + max(rows - among, 0)) % CAPACITY
        # Of each group there is at most one: of the few nearest nearly all are found.
        same = best.unsqueeze(2) == found.unsqueeze(1)
        assert float(same.any(2).float().mean()) > 0.85
        assert bool(same[:, 0].any(1).all()), "and the nearest always"
        nearest = lengths.gather(1, same[:, 0].int().argmax(1, keepdim=True))[:, 0]
        torch.testing.assert_close(nearest, expected[:, 0], atol=1e-3, rtol=1e-3)
        assert len(found.unique()) <= among
        assert found.shape == (20, GROUPS)


def test_rows_that_are_not_there_have_no_vote() -> None:
    """The first answers would be those of rows of zeros, labelled with the first class."""
    made, prior = _expert(Task.MULTICLASS, 2, 3), torch.tensor([0.2, 0.3, 0.5]).log()
    asked = _rows(_normal(5, 2, 2))
    torch.testing.assert_close(made.answers(asked, prior), prior.expand(5, -1))
    _learn(made, _normal(3, 2, 3), torch.tensor([2, 2, 2]), prior)
    assert bool((made.answers(asked, prior).argmax(1) == 2).all())
    number = _expert(Task.REGRESSION, 2)
    assert number.answers(asked, torch.zeros(1)).abs().max() == 0


def test_columns_count_by_what_they_have_to_do_with_the_target() -> None:
    """Among many columns without a meaning, near would mean nothing."""
    values = _normal(3000, 12, 4)
    targets = values[:, 0].square() - values[:, 1]  # one of them is not correlated with it, but its square is
    made = _expert(Task.REGRESSION, 12)
    _learn(made, values[:2900], targets[:2900], torch.zeros(1))
    ring = made.published()
    assert set(ring["ring/columns"][:2].tolist()) == {0, 1}
    assert float(ring["ring/scales"][2:].max()) < 0.2
    error = made.answers(_rows(values[2900:]), torch.zeros(1))[:, 0] - targets[2900:]
    assert float(error.abs().mean()) < 0.4 * float((targets - targets.mean()).abs().mean())


def test_relevance_is_correlation() -> None:
    """An error in the sums would make distances worse, and be noticed nowhere else."""
    values, targets = _normal(400, 4, 5), torch.from_numpy(np.random.default_rng(6).integers(3, size=400))
    wanted = torch.nn.functional.one_hot(targets, 3).float()
    values[:, 2] += targets
    made = Relevance(CPU, numeric=False)
    made.grow(4, 3)
    made.add(values, wanted, torch.ones(400))
    expected = np.zeros(4)
    for column in range(4):
        for seen in (values[:, column], values[:, column].square()):
            for place in range(3):
                expected[column] += np.corrcoef(seen.numpy(), wanted[:, place].numpy())[0, 1] ** 2
    expected = np.sqrt(expected)
    np.testing.assert_allclose(made.scales().numpy(), expected / expected.max() + FLOOR, rtol=1e-3)
    made.clear(torch.tensor([2]))
    assert float(made.scales()[2]) == pytest.approx(FLOOR)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_relevance_does_not_depend_on_the_targets_units(shift: float) -> None:
    """Whenever the target's scale is renewed, distances would be measured otherwise."""
    values = _normal(500, 3, 7)
    made, other = Relevance(CPU, numeric=True), Relevance(CPU, numeric=True)
    for each in (made, other):
        each.grow(3, 1)
        each.add(values[:400], values[:400, :1] + 1.0, torch.ones(400))
    other.rescale(0.5, shift)
    made.add(values[400:], values[400:, :1] + 1.0, torch.ones(100))
    other.add(values[400:], 0.5 * (values[400:, :1] + 1.0) + shift, torch.ones(100))
    torch.testing.assert_close(made.scales(), other.scales(), atol=1e-3, rtol=1e-3)


def test_few_rows_say_nothing_of_relevance() -> None:
    """By chance some column would count most, and the rest nothing."""
    made = Relevance(CPU, numeric=True)
    made.grow(3, 1)
    made.add(_normal(ENOUGH - 1, 3, 8), _normal(ENOUGH - 1, 1, 9), torch.ones(ENOUGH - 1))
    assert made.scales().tolist() == [1.0, 1.0, 1.0]


def test_other_units_of_the_target_are_the_same_answers() -> None:
    """Whenever the target's scale is renewed, the labels that are kept would be in the old units."""
    values = _normal(600, 3, 10)
    made, other = _expert(Task.REGRESSION, 3), _expert(Task.REGRESSION, 3)
    for each in (made, other):
        _learn(each, values[:500], values[:500, 0], torch.zeros(1))
    other.rescale(2.0, 1.0)
    asked = _rows(values[500:])
    expected = 2.0 * made.answers(asked, torch.zeros(1)) + 1.0
    torch.testing.assert_close(other.answers(asked, torch.zeros(1)), expected, atol=0.1, rtol=0.1)


def test_columns_and_classes_that_come_change_no_answer() -> None:
    """Each new feature would make all rows that are kept useless."""
    values = _normal(1000, 3, 11)
    targets, prior = (values[:, 0] > 0).long(), torch.tensor([0.5, 0.5]).log()
    made = _expert(Task.MULTICLASS, 3, 2)
    _learn(made, values[:900], targets[:900], prior)
    before = made.answers(_rows(values[900:]), prior).exp()
    made.grow(_space(5, 3))
    wider = torch.tensor([0.4995, 0.4995, 0.001]).log()
    after = made.answers(_rows(torch.nn.functional.pad(values[900:], (0, 2), value=1.0)), wider).exp()
    assert float((after[:, :2] - before).abs().max()) < 0.05
    _learn(made, torch.nn.functional.pad(values[:300], (0, 2)), torch.full((300,), 2), wider)
    third = made.answers(_rows(torch.nn.functional.pad(values[:10], (0, 2))), wider)
    assert bool((third.argmax(1) == 2).all())


def test_a_column_that_carries_another_feature_begins_anew() -> None:
    """New values would be compared with those of another feature."""
    values = _normal(1000, 2, 12)
    made = _expert(Task.REGRESSION, 2)
    _learn(made, values, values[:, 1], torch.zeros(1))
    asked = torch.tensor([[0.0, 2.0], [0.0, -2.0]])
    apart = made.answers(_rows(asked), torch.zeros(1))[:, 0]
    assert float(apart[0] - apart[1]) > 2
    made.renew([1], [])
    same = made.answers(_rows(asked), torch.zeros(1))[:, 0]
    assert float((same[0] - same[1]).abs()) < 0.5


def test_thousands_of_columns_cost_no_more_than_some() -> None:
    """A stream that names thousands of features would take a second for each microbatch."""
    made = _expert(Task.REGRESSION, 3000)
    wide = _normal(300, 3000, 13)
    _learn(made, wide, wide[:, 7], torch.zeros(1))
    ring = made.published()
    assert ring["ring/rows"].shape == (CAPACITY, COLUMNS)
    assert int(ring["ring/columns"][0]) == 7, "the one that matters is among them"
    assert made.state()[1]["ring/kept"].shape == (CAPACITY, PLAIN + FOLDED)


def test_only_what_changed_is_published() -> None:
    """Publishing would copy the whole ring for each microbatch, and learning would wait for it."""
    made = _expert(Task.REGRESSION, 2)
    values = _normal(3 * RENEWED + 64, 2, 14)
    _learn(made, values[: 3 * RENEWED], values[: 3 * RENEWED, 0], torch.zeros(1))
    _learn(made, values[: RENEWED * 2], values[: RENEWED * 2, 0], torch.zeros(1))
    made.changed()
    before = {name: tensor.clone() for name, tensor in made.published().items()}
    _learn(made, values[-64:], values[-64:, 0], torch.zeros(1))
    ranges = made.changed()
    assert sum(stop - start for start, stop in ranges["ring/rows"]) <= 4 * 64
    for name, tensor in made.published().items():
        if name in ranges:
            kept = torch.ones(tensor.numel(), dtype=torch.bool)
            for start, stop in ranges[name]:
                kept[start:stop] = False
            assert torch.equal(tensor.flatten()[kept], before[name].flatten()[kept]), name


def test_torn_memory_is_never_read_out_of_bounds() -> None:
    """A server that reads while the trainer writes would crash, where it has only to ask again."""
    made = _expert(Task.MULTICLASS, 4, 3)
    _learn(made, _normal(300, 4, 15), torch.arange(300) % 3, torch.full((3,), 1 / 3).log())
    wild = {name: tensor.clone() for name, tensor in made.published().items()}
    for name in ("targets", "columns", "next"):
        wild[f"ring/{name}"].random_(-(2**62), 2**62)
    wild["ring/rows"].fill_(torch.nan)
    wild["ring/lengths"][::2] = torch.inf
    other = NearestNeighbours(Task.MULTICLASS, "auto", CPU)
    other.attach(made.describe(), wild)
    found = other.answers(_rows(_normal(5, 4, 16)), torch.full((3,), 1 / 3).log())
    assert found.shape == (5, 3)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("size", [1, 50])
def test_what_is_restored_or_published_is_the_same(task: Task, size: int) -> None:
    """After a restart other parameters would carry the same version; a server would answer other than the trainer."""
    made = trained(task, kind="knn")
    asked = next(microbatches(task, 1, 40, first=50)).features
    expect_the_same_after_a_restart(made, microbatches(task, 4, size, first=30), asked)


def test_a_few_neighbours_make_nobody_certain() -> None:
    """A class that no neighbour has would be answered with probability zero, which one event makes infinitely wrong."""
    made, prior = _expert(Task.BINARY, 2, 2), torch.full((2,), 0.5).log()
    values = _normal(2000, 2, 17)
    drawn = torch.from_numpy(np.random.default_rng(18).random(2000))
    targets = (drawn < 0.8).long()  # four of five, wherever
    _learn(made, values[:1900], targets[:1900], prior)
    found = made.answers(_rows(values[1900:]), prior).exp()[:, 1]
    assert 0.7 < float(found.mean()) < 0.9
    assert float(found.max()) < 0.97
