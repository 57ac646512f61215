"""Leaves of random trees: learned from the first rows on, and renewed without losing what they know."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.devices import choose_device
from models.encoder_layout import MOST_RAWS, Layout, Role
from models.errors import StateMismatch
from models.examples import Task
from models.expert import Encoded, Space
from models.learner import LearnerOptions
from models.leaves import LEVELS, MOST_CLASSES, PERIOD, LeavesExpert
from models.leaves_trees import FEWEST, LEAVES, RECENT, TESTS, Trees
from models.leaves_weights import Weights, bags

CPU = torch.device("cpu")
COUNT = 30


def _space(raws: int, classes: int = 0, roles: Sequence[Role] = ()) -> Space:
    """Return a space of so many raw columns, all in use, and of dense ones in these roles."""
    return Space(Layout(roles=list(roles)), len(roles), raws, raws, classes)


def _rows(raw: Tensor) -> Encoded:
    """Return rows that have raw columns only."""
    return Encoded(torch.empty((len(raw), 0)), raw)


def _expert(raws: int, task: Task = Task.REGRESSION, classes: int = 0, **options: object) -> LeavesExpert:
    """Return a new expert with room for so many raw columns and classes."""
    made = LeavesExpert(LearnerOptions(kind="leaves", **options), task, CPU)  # type: ignore[arg-type] # tests know them
    made.grow(_space(raws, classes))
    return made


def _learn(expert: LeavesExpert, raw: Tensor, targets: Tensor, classes: int = 1, size: int = 64) -> list[float]:
    """Learn rows in microbatches; return the mean absolute error, or share of wrong answers, of each beforehand."""
    prior, errors = torch.zeros(classes), []
    for start in range(0, len(raw), size):
        rows, given = _rows(raw[start : start + size]), targets[start : start + size]
        answered = expert.answers(rows, prior)
        wrong = answered[:, 0] - given if classes == 1 else answered.argmax(1) != given
        errors.append(float(wrong.abs().mean() if classes == 1 else wrong.float().mean()))
        expert.learn(rows, given, torch.ones(len(given)), prior, answered)
    return errors


def _assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Raise where two tensors differ; PyTorch's own takes seconds to import."""
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


def _boxes(rows: int, columns: int = 4, seed: int = 1, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return raw rows, and targets that are 1 where either the first or the second value is high, and else -1."""
    raw = torch.from_numpy(np.random.default_rng(seed).random((rows, columns), np.float32))
    return raw + shift, ((raw[:, 0] > 0.6) ^ (raw[:, 1] > 0.4)).float() * 2 - 1


def _grown(seed: int = 1) -> tuple[Trees, Weights, Tensor]:
    """Return trees with two tests each or more, weights drawn at random, and the values that both have met."""
    trees, weights = Trees(COUNT, seed, CPU), Weights(COUNT, CPU)
    raw = torch.from_numpy(np.random.default_rng(seed).random((300, 3), np.float32))
    trees.grow(_space(3))
    values = trees.values(_rows(raw))
    trees.remember(values, 0)
    trees.draw(trees.lacking(4), torch.ones(3), 300, 1)
    weights.grow(2)
    generator = torch.Generator().manual_seed(seed)
    weights.values.normal_(generator=generator)
    weights.squares.uniform_(generator=generator)
    places = trees.places(values).flatten()
    weights.visits.index_add_(0, places, torch.ones(len(places)))
    return trees, weights, values


def test_it_learns_from_the_very_start() -> None:
    """What waits for a thousand rows before it sets thresholds answers a thousand events with nothing."""
    errors = _learn(_expert(4), *_boxes(640))
    assert errors[0] == pytest.approx(1.0), "nothing is known before the first rows"
    assert np.mean(errors[4:10]) < 0.6, errors


@pytest.mark.parametrize("size", [1, 16, 1024])
def test_the_size_of_microbatches_is_no_learning_rate(size: int) -> None:
    """A user who wants throughput would have to pay for it with what is learned."""
    raw, targets = _boxes(2048)
    known, found = (_expert(4), _expert(4))
    _learn(known, raw, targets)
    _learn(found, raw, targets, size=size)
    fresh, truth = _boxes(512, seed=2)
    of_known, of_found = (
        (made.answers(_rows(fresh), torch.zeros(1))[:, 0] - truth).abs().mean() for made in (known, found)
    )
    assert of_found < of_known + 0.05, (of_found, of_known)


def test_a_new_test_changes_no_answer() -> None:
    """Each time that trees grow, the model would forget some of what it knew."""
    trees, weights, values = _grown()
    before = bags(weights.values, trees.places(values))
    lacking = trees.lacking(TESTS)
    assert lacking.any()
    weights.split(lacking)
    trees.draw(lacking, torch.ones(3), 300, 2)
    assert not trees.lacking(TESTS).any()
    _assert_close(bags(weights.values, trees.places(values)), before)


def test_a_tree_that_loses_a_test_keeps_what_the_others_tell() -> None:
    """Renewing a threshold would throw away whole trees."""
    trees, weights, values = _grown()
    before, squares, visits = weights.values.clone(), weights.squares.clone(), weights.visits.clone()
    lost = torch.zeros((TESTS, COUNT), dtype=torch.bool)
    lost[1, :7] = True
    weights.merge(lost)
    for leaf in range(LEAVES):
        for tree in (0, 6, 7, COUNT - 1):
            place = leaf * COUNT + tree
            if tree >= 7:
                assert torch.equal(weights.values[place], before[place]), "of a tree that lost nothing"
            elif not leaf & 2:
                pair = torch.tensor([place, (leaf | 2) * COUNT + tree])
                mean = (before[pair] * squares[pair]).sum(0) / squares[pair].sum(0)
                _assert_close(weights.values[place], mean)
                _assert_close(weights.squares[place], squares[pair].sum(0))
    assert weights.visits.sum() == visits.sum(), "no row may be counted twice"
    weights.split(lost)
    trees.draw(lost, torch.ones(3), 300, 2)
    outputs = bags(weights.values, trees.places(values))
    assert torch.isfinite(outputs).all()
    assert weights.visits.sum() == visits.sum()


def test_use_is_the_variance_that_a_test_makes() -> None:
    """Tests that tell something apart would be given up, and useless ones kept."""
    trees, weights, values = _grown()
    use = weights.use()
    places = trees.places(values)
    for slot, tree in ((0, 0), (1, 3), (TESTS - 1, 5)):
        seen = places[:, tree].bincount(minlength=LEAVES * COUNT)
        expected = 0.0
        for leaf in range(LEAVES):
            if not leaf >> slot & 1:
                low, high = leaf * COUNT + tree, (leaf | 1 << slot) * COUNT + tree
                both = seen[low] * seen[high] / max(int(seen[low] + seen[high]), 1)
                expected += float(both * (weights.values[low] - weights.values[high]).square().sum())
        assert float(use[slot, tree]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_columns_that_are_of_use_get_the_tests() -> None:
    """With a hundred useless columns, hardly a tree would look at those that matter."""
    made = _expert(20)
    raw, targets = _boxes(6000, columns=20)
    _learn(made, raw, targets)
    columns = made._trees.columns[made._trees.in_use()]
    assert (columns < 2).float().mean() > 0.4, "a tenth of the columns"
    assert len(set(columns.tolist())) == 20, "the others are tried all the same"


def test_thresholds_follow_values_that_drift() -> None:
    """When prices double, all would lie on one side of every threshold, and nothing would be told apart any more."""
    made = _expert(4)
    _learn(made, *_boxes(3000))
    errors = _learn(made, *_boxes(6000, seed=2, shift=1000.0))
    assert np.mean(errors[:3]) > 0.8, "the drift is to be one"
    assert np.mean(errors[-10:]) < 0.3, errors


def test_a_column_that_comes_late_is_tested() -> None:
    """A feature that is added to a stream would never count."""
    made = _expert(3)
    raw, targets = _boxes(8000)
    raw = torch.cat([raw[:, 2:], raw[:, :2]], 1)  # the useful ones last
    hidden = torch.where(torch.arange(4) < 2, raw[:3000], torch.nan)
    _learn(made, hidden[:, :3], targets[:3000])
    made.grow(_space(4))
    errors = _learn(made, raw[3000:], targets[3000:])
    assert np.mean(errors[:5]) > 0.8, "they are to be needed"
    assert np.mean(errors[-10:]) < 0.6, errors


def test_a_missing_value_is_news() -> None:
    """Where a sensor falls silent before the failure, nobody would notice."""
    made = _expert(2, Task.BINARY, 2)
    random = np.random.default_rng(1)
    silent = random.random(3000) < 0.5
    raw = random.random((3000, 2), np.float32)
    raw[silent, 0] = np.nan
    errors = _learn(made, torch.from_numpy(raw), torch.from_numpy(silent.astype(np.int64)), 2)
    assert np.mean(errors[-10:]) < 0.02, errors


def test_classes_that_come_late_are_learned_and_change_no_other_answer() -> None:
    """A class that was not there in the beginning would never be answered, or upset the others."""
    made = _expert(4, Task.MULTICLASS, 2)
    raw, targets = _boxes(3000)
    classes = (targets > 0).long()
    _learn(made, raw[:1500], classes[:1500], 2)
    before = made.answers(_rows(raw[:50]), torch.zeros(2))
    made.grow(_space(4, 9))
    after = made.answers(_rows(raw[:50]), torch.zeros(9))
    _assert_close(after[:, :2].log_softmax(1), before)
    classes[raw[:, 2] > 0.5] = 8
    errors = _learn(made, raw[1500:], classes[1500:], 9)
    assert np.mean(errors[-5:]) < 0.15, errors


def test_more_classes_than_there_is_room_for() -> None:
    """A stream that never stops naming classes would fill memory, or end learning."""
    classes = MOST_CLASSES + 40
    made = _expert(3, Task.MULTICLASS, classes)
    raw = torch.rand((128, 3), generator=torch.Generator().manual_seed(1))
    targets = torch.arange(128) + classes - 128
    prior = torch.full((classes,), -np.log(classes))
    made.learn(_rows(raw), targets, torch.ones(128), prior, None)
    answered = made.answers(_rows(raw), prior)
    assert answered.shape == (128, classes)
    assert torch.isfinite(answered).all()
    assert answered[:, targets].exp().mean() > 1 / classes
    assert made.published()["weights"].shape[1] == MOST_CLASSES


def test_answers_follow_the_targets_units() -> None:
    """Whenever the scale of the target is settled anew, the answers would be in that of before."""
    made = _expert(4)
    raw, targets = _boxes(2000)
    _learn(made, raw[:1000], targets[:1000])
    before = made.answers(_rows(raw[:200]), torch.zeros(1))
    made.rescale(0.5, 3.0)
    after = made.answers(_rows(raw[:200]), torch.zeros(1))
    _assert_close(after, before * 0.5 + 3.0, 1e-4)
    errors = _learn(made, raw[1000:], targets[1000:] * 0.5 + 3.0)
    assert max(errors) < 0.3, "and learning goes on from there"


def test_thresholds_in_estimates_follow_the_targets_units() -> None:
    """Estimates are in units of the target: each time its scale is settled, their thresholds would be off."""
    made = _expert(0)
    made.grow(_space(0, roles=[Role.VALUE, Role.ESTIMATE]))
    values, targets = _boxes(1000, columns=2)
    for start in range(0, 1000, 100):
        rows = Encoded(values[start : start + 100], torch.empty((100, 0)))
        made.learn(rows, targets[start : start + 100], torch.ones(100), torch.zeros(1), None)
    assert made._trees.sources.tolist() == [MOST_RAWS, MOST_RAWS + 1]
    none = torch.empty((1000, 0))
    before = made.answers(Encoded(values, none), torch.zeros(1))
    made.rescale(2.0, -1.0)
    moved = torch.stack([values[:, 0], values[:, 1] * 2.0 - 1.0], 1)
    _assert_close(made.answers(Encoded(moved, none), torch.zeros(1)), before * 2.0 - 1.0)
    _assert_close(made._trees.recent[:, 1].sort().values, moved[-RECENT:, 1].sort().values)


def test_a_column_that_was_taken_over_knows_nothing_of_the_former() -> None:
    """A feature that has another's place would be answered by what that one meant."""
    made = _expert(4)
    raw, targets = _boxes(2500)
    _learn(made, raw, targets)
    made.renew([], [0])
    other = raw[:300].clone()
    other[:, 0] = 1.0 - other[:, 0]
    known, found = (made.answers(_rows(rows), torch.zeros(1)) for rows in (raw[:300], other))
    _assert_close(found, known)
    assert not (made._trees.columns[made._trees.in_use()] == 0).any()
    _learn(made, raw, targets)
    assert (made._trees.columns[made._trees.in_use()] == 0).any(), "the new one gets tests of its own"


def test_tests_are_published_when_they_have_changed() -> None:
    """A server would apply weights to leaves of former tests; or everything would be copied at every update."""
    made = _expert(4)
    raw, targets = _boxes(2 * PERIOD)
    changes = []
    for start in range(0, 2 * PERIOD, 50):
        columns = made.published()["columns"].clone()
        _learn(made, raw[start : start + 50], targets[start : start + 50])
        same = torch.equal(columns, made.published()["columns"])
        changed = made.changed()
        assert "weights" not in changed
        assert same or not changed, "an absent name means that all of it changed"
        changes.append(not changed)
    assert 4 < sum(changes) < 12, changes


def test_whatever_is_in_published_memory_reading_stays_within_bounds() -> None:
    """Memory that is torn or overwritten while it is read must cost an answer, not the serving process."""
    made = _expert(4, Task.MULTICLASS, 5)
    raw, targets = _boxes(300)
    _learn(made, raw, (targets > 0).long(), 5)
    tensors = {name: tensor.clone() for name, tensor in made.published().items()}
    served = _expert(4, Task.MULTICLASS, 5)
    random = np.random.default_rng(1)
    for _ in range(20):
        for tensor in tensors.values():
            noise = random.integers(0, 256, tensor.nbytes, np.uint8)
            tensor.view(torch.uint8).view(-1).copy_(torch.from_numpy(noise))
        served.attach(made.describe(), tensors)
        for rows in map(_rows, (raw, raw[:, :2], raw[:, :0], raw[:0])):
            places = served._trees.places(served._trees.values(rows))
            assert places.shape == (len(rows), made.describe()["trees"])
            assert not len(rows) or (int(places.min()) >= 0 and int(places.max()) < len(tensors["weights"]))
            assert served.answers(rows, torch.zeros(5)).shape == (len(rows), 5)


def test_another_number_of_trees_is_refused() -> None:
    """State of another version would be read as something that it is not."""
    few = LeavesExpert(LearnerOptions(kind="leaves"), Task.BINARY, CPU, trees=10)
    few.grow(_space(2, 2))
    with pytest.raises(StateMismatch, match="300 trees expected, not 10"):
        _expert(2).restore(*few.state(), _space(2, 2))
    with pytest.raises(StateMismatch, match="300 trees expected, not 10"):
        _expert(2).attach(few.describe(), few.published())


def test_one_event_moves_no_more_than_it_may() -> None:
    """Whoever sends one event of great weight could set what is answered."""
    raw, targets = _boxes(200)
    moved = []
    for clip in (None, 0.1):
        made = LeavesExpert(LearnerOptions(kind="leaves"), Task.REGRESSION, CPU, clip)
        made.grow(_space(4))
        _learn(made, raw, targets)
        before = made.answers(_rows(raw), torch.zeros(1))
        made.learn(_rows(raw[:1]), torch.tensor([20.0]), torch.tensor([100.0]), torch.zeros(1), None)
        moved.append(float((made.answers(_rows(raw), torch.zeros(1)) - before).abs().max()))
    assert moved[1] < 0.2 * moved[0], moved


@pytest.mark.parametrize("column", ["constant", "missing", "huge"])
def test_a_column_that_tells_nothing_apart(column: str) -> None:
    """A constant, a column without values, or one on another scale would spoil the others."""
    made = _expert(5)
    raw, targets = _boxes(2000)
    values = {"constant": torch.full((2000,), 7.0), "missing": torch.full((2000,), torch.nan)}
    more = values.get(column, raw[:, 3] * 1e30)
    errors = _learn(made, torch.cat([raw, more.unsqueeze(1)], 1), targets)
    assert np.mean(errors[-5:]) < 0.3, errors


def test_without_columns_there_is_nothing_to_learn() -> None:
    """A stream of texts alone has no raw column."""
    made = _expert(0, Task.BINARY, 2)
    rows = _rows(torch.empty((700, 0)))
    prior = torch.tensor([0.25, 0.75]).log()
    made.learn(rows, torch.ones(700, dtype=torch.int64), torch.ones(700), prior, None)
    _assert_close(made.answers(rows, prior), prior.expand(700, -1))


def test_many_rows_at_once_are_all_remembered_as_far_as_there_is_room() -> None:
    """Thresholds would be drawn from rows of long ago."""
    trees = Trees(COUNT, 1, CPU)
    trees.grow(_space(1))
    before = 0
    for rows in (1, RECENT, 64, 300, 7):
        values = torch.arange(before, before + rows, dtype=torch.float32).unsqueeze(0)
        trees.remember(values, before)
        before += rows
        kept = trees.recent[: min(before, RECENT), 0].sort().values
        assert torch.equal(kept, torch.arange(max(before - RECENT, 0), before, dtype=torch.float32))


def test_trees_grow_as_there_are_rows_to_tell_apart() -> None:
    """Deep trees at the start have a leaf for each row, and learn nothing of others."""
    made = _expert(4)
    raw, targets = _boxes(LEVELS[-1] + 64)
    deepest = []
    for start in (0, *LEVELS[:-1]):
        stop = LEVELS[(0, *LEVELS[:-1]).index(start)]
        _learn(made, raw[start:stop], targets[start:stop])
        deepest.append(int(made._trees.in_use().sum(0).max()))
    assert deepest == list(range(1, TESTS + 1))
    assert int(made._trees.in_use().sum(0).min()) == FEWEST


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: run where there is one")
def test_a_gpu_learns_the_same() -> None:
    """On a GPU the expert would be another one."""
    raw, targets = _boxes(2000)
    found = []
    for device in (CPU, choose_device("cuda")):
        made = LeavesExpert(LearnerOptions(kind="leaves"), Task.REGRESSION, device)
        made.grow(_space(4))
        for start in range(0, 2000, 200):
            rows = _rows(raw[start : start + 200].to(device))
            given = targets[start : start + 200].to(device)
            made.learn(rows, given, torch.ones(200, device=device), torch.zeros(1, device=device), None)
        found.append(made.answers(_rows(raw[:300].to(device)), torch.zeros(1, device=device)).cpu())
    _assert_close(found[1], found[0], 0.02)
