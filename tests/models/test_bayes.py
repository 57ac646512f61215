"""Naive Bayes knows strings by how often each came with each class."""

import numpy as np
import pytest

from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.torch_learner import TorchLearner
from tests.support.learning import answers, labelled, learner

TEXT = FeatureKey("text", Kind.TOKENS)


def _texts(rows: int, seed: int, classes: int = 2) -> Examples:
    """Return texts of three words: one that a class has to itself (as three others), and two that all have."""
    random = np.random.default_rng([seed, classes])
    chosen = random.integers(classes, size=rows).tolist()
    texts = [
        [f"own{label}-{random.integers(4)}", *(f"all{word}" for word in random.integers(30, size=2))]
        for label in chosen
    ]
    labels: list[Label] = [f"class {label}" for label in chosen]
    return labelled(Features(rows, (), np.empty((rows, 0)), {}, {"text": texts}), labels)


def _right(made: TorchLearner, given: Examples) -> float:
    chosen = answers(made, given.features).argmax(1)
    classes = made.model.targets.classes
    return float(np.mean([classes[place] == label for place, label in zip(chosen, given.labels, strict=True)]))


@pytest.mark.parametrize("classes", [2, 5])
def test_words_are_known_as_soon_as_they_were_met(classes: int) -> None:
    """It would be no quicker than the networks beside it, and of no use to the mixture."""
    made = learner(Task.MULTICLASS, kind="bayes")
    made.learn(_texts(64 * classes, 1, classes))
    assert _right(made, _texts(500, 2, classes)) > 0.97
    found = answers(made, _texts(50, 3, classes).features)
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-5)


def test_counts_stay_when_classes_come() -> None:
    """With more classes the table has other rows: what was counted in the old ones would be lost, or be another's."""
    made = learner(Task.MULTICLASS, kind="bayes")
    made.learn(_texts(400, 4, 2))
    before = _texts(200, 5, 2)
    assert _right(made, before) > 0.97
    many: list[Label] = [f"other {place}" for place in range(140)]
    made.learn(
        labelled(Features(140, (), np.empty((140, 0)), {}, {"text": [[f"t{place}"] for place in range(140)]}), many)
    )
    counts = made.expert.published()["counts"]
    assert counts.shape[0] < 65_536, "so many classes have a smaller table"
    assert _right(made, before) > 0.97
    assert float(counts.sum()) == pytest.approx(np.sqrt(3) * 400 + 140), (
        "a text's words count as much as their root together"
    )


def test_rows_without_strings_get_the_prior() -> None:
    """What it knows nothing of would be answered by whatever the arithmetic of nothing is."""
    made = learner(Task.MULTICLASS, kind="bayes")
    given = _texts(128, 6, 2)
    made.learn(given)
    shares = np.bincount([int(str(label)[-1]) for label in given.labels]) / 128
    empty = Features(3, (), np.empty((3, 0)))
    found = answers(made, empty)[0]
    order = [int(str(label)[-1]) for label in made.model.targets.classes]
    np.testing.assert_allclose(found[np.argsort(order)], shares, atol=0.02)


def test_only_what_was_met_is_published_again() -> None:
    """A table of 65,536 rows would be copied at every update."""
    made = learner(Task.BINARY, kind="bayes")
    made.learn(_texts(64, 7, 2))
    made.published()
    made.learn(_texts(1, 8, 2))
    changed = made.published().changed
    assert changed is not None
    assert 0 < sum(stop - start for start, stop in changed["counts"]) <= 3 * 64 * 2


def test_what_is_restored_goes_on_the_same() -> None:
    """After a restart the same events would make another model under the same version."""
    made = learner(Task.MULTICLASS, kind="bayes")
    made.learn(_texts(64, 9, 3))
    again = learner(Task.MULTICLASS, kind="bayes")
    again.restore(made.state())
    for one in (made, again):
        one.learn(_texts(64, 10, 5))
    saved, other = made.state().arrays, again.state().arrays
    for name, array in saved.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
