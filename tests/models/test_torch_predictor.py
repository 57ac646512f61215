"""A serving process answers as the learner does, from memory that it may only read and that changes under its hands."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from models.errors import StateMismatch
from models.examples import Examples, Features, Task
from models.learner import Array
from models.registry import load_predictor
from models.touched import GRAIN, MOST_NOTES, Touched
from tests.support.learning import answers, learner, microbatches, numbers_of, stream, trained


def mapped(arrays: Mapping[str, Array], folder: Path) -> dict[str, Array]:
    """Return arrays over files that are mapped to be read only."""
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        file = folder / name.replace("/", "_")
        file.write_bytes(array.tobytes())
        found[name] = np.memmap(file, array.dtype, "r", shape=array.shape)
    return found


@pytest.mark.parametrize("kind", ["linear", "mlp", "fm"])
@pytest.mark.parametrize("task", Task)
def test_it_answers_from_read_only_maps_without_copying(kind: str, task: Task, tmp_path: Path) -> None:
    """A request would cost a copy of all parameters, or a warning, or crash on memory that it may not write."""
    made = trained(task, kind=kind)
    published = made.published()
    arrays = mapped(published.arrays, tmp_path)
    predictor = load_predictor(published.spec, arrays)
    features = stream(task, 40, 50).features
    found = numbers_of(predictor.predict(features))
    np.testing.assert_allclose(found, answers(made, features), rtol=0, atol=1e-6)
    for name, array in arrays.items():
        with (tmp_path / name.replace("/", "_")).open("r+b") as file:
            file.write(bytes(array.nbytes))
    assert not np.array_equal(numbers_of(predictor.predict(features)), found)


def test_what_was_scored_is_what_is_served() -> None:
    """The prequential score would be that of other predictions than those that users get."""
    made, rows, right = learner(), 0, 0.0
    for given in microbatches(Task.BINARY, 10):
        predictions = made.predictor().predict(given.features)
        if predictions.probabilities is not None and len(predictions.classes) == 2:
            picked = [predictions.classes[place] for place in predictions.probabilities.argmax(1).tolist()]
            right += sum(one == other for one, other in zip(picked, given.labels, strict=True))
            rows += len(given)
        made.learn(given)
    scores = made.status().scores["stream"]
    assert (scores["accuracy"], scores["scored"]) == pytest.approx((right / rows, rows), abs=1e-6)


def test_changed_ranges_cover_what_changed_and_little_more() -> None:
    """A serving process would keep stale parameters; or every update would cost the copy of whole tables."""
    made = trained(kind="linear", count=12)
    first = made.published()
    mirror = {name: array.copy() for name, array in first.arrays.items()}
    made.learn(stream(Task.BINARY, 32, 500))
    second = made.published()
    assert second.spec is first.spec
    assert second.changed is not None
    for name, array in second.arrays.items():
        for start, stop in second.changed.get(name, ()):
            mirror[name].reshape(-1)[start:stop] = array.reshape(-1)[start:stop]
        np.testing.assert_array_equal(mirror[name], array, err_msg=name)
    for name in ("table/parameters", "statistics/statistics"):
        covered = sum(stop - start for start, stop in second.changed[name])
        assert covered <= 0.05 * second.arrays[name].size
    assert made.published().changed is not None


def test_nothing_learned_changes_no_table() -> None:
    """Publishing without anything new would cost the copy of tables."""
    made = trained(kind="linear")
    made.published()
    changed = made.published().changed
    assert changed is not None
    assert "table/parameters" not in changed


def test_notes_are_bounded_where_nobody_asks() -> None:
    """A comparison of learners, which publishes nothing, would fill memory."""
    notes = Touched()
    for row in range(2 * MOST_NOTES):
        notes.add(np.array([row % 3]))
    assert notes.take((1024, 2)) == [(0, 2048)]
    assert notes.take((1024, 2)) == []
    notes.add(np.array([0, GRAIN, 5 * GRAIN]))
    assert notes.take((1024, 2)) == [(0, 4 * GRAIN), (10 * GRAIN, 12 * GRAIN)]


def test_what_another_learner_published_is_refused() -> None:
    """A serving process of another version would answer nonsense."""
    published = trained().published()
    for wrong in ({"learner": "another"}, {"schema": 99}):
        with pytest.raises(StateMismatch):
            load_predictor({**published.spec, **wrong}, published.arrays)


def test_rows_answer_alike_alone_and_together() -> None:
    """The answer to a request would depend on who else asked."""
    made = trained(Task.REGRESSION)
    features = stream(Task.REGRESSION, 30, 9).features
    together = answers(made, features)
    alone = np.concatenate([answers(made, features.slice(row, row + 1)) for row in range(30)])
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    assert answers(made, Features.empty(0)).shape == (0,)


def test_predictions_for_numbers_stay_within_reason() -> None:
    """A feature that leaves its range would make a prediction of millions."""
    made = trained(Task.REGRESSION, kind="linear", count=30)
    features = stream(Task.REGRESSION, 20, 9).features
    wild = Features(20, features.keys, features.numbers * 1e9, features.categories, features.tokens)
    given: list[Examples] = list(microbatches(Task.REGRESSION, 30))
    labels = [float(label) for each in given for label in each.labels]
    reach = max(labels) - min(labels)
    found = answers(made, wild)
    assert (found >= min(labels) - 0.25 * reach - 1e-6).all()
    assert (found <= max(labels) + 0.25 * reach + 1e-6).all()


@pytest.mark.parametrize("kind", ["leaves", "mlp", "auto"])
@pytest.mark.parametrize(("spoilt", "finite"), [(np.nan, False), (np.inf, False), (-np.inf, False), (3e38, True)])
def test_one_number_that_is_not_finite_is_found_and_huge_ones_are_no_alarm(
    kind: str, spoilt: float, finite: bool
) -> None:
    """A broken model would be published; or one with many huge parameters be taken for broken, and taken back."""
    made = trained(kind=kind, count=2)
    features = stream(Task.BINARY, 4, 50).features
    assert made.try_out(features).finite
    held = max(made.expert.held(), key=lambda tensor: tensor.numel()).view(-1)
    held[: 1 if not finite else len(held)] = spoilt
    # Where all is huge the outputs are not finite: of no rows there are none.
    assert made.try_out(Features.empty(0)).finite == finite
