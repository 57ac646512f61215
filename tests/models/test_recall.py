"""The expert that repeats what was: it finds which estimate is right as it is."""

import numpy as np
import pytest
import torch

from models.examples import Features, Label, Task
from tests.support.learning import answers, labelled, learner, stream

STATIONS = ("north", "south", "east")


def levels(turn: int) -> Features:
    """Return 24 rows, each at one of three stations."""
    names = [STATIONS[place] for place in np.random.default_rng(turn).integers(3, size=24).tolist()]
    return Features(24, (), np.empty((24, 0)), {"station": names})


def numbers_of(features: Features, turn: int) -> list[Label]:
    """Return what is at a station: it changes now and then, and by much."""
    states = np.random.default_rng(turn // 4).integers(0, 30, 3)
    return [float(states[STATIONS.index(name or "")]) for name in features.categories["station"]]


def test_the_last_value_of_a_category_is_repeated() -> None:
    """What is best known by repeating it would be guessed by networks that never get as close."""
    made, errors = learner(Task.REGRESSION, kind="recall"), []
    for turn in range(80):
        features = levels(turn)
        labels = numbers_of(features, turn)
        if turn > 40 and turn % 4:
            errors.append(np.abs(answers(made, features) - np.array(labels, np.float64)).mean())
        made.learn(labelled(features, labels))
    assert np.median(errors) < 0.01


def test_it_is_the_same_after_a_restart_and_in_a_server() -> None:
    """Versions would stand for two things."""
    made, other = learner(Task.REGRESSION, kind="recall"), learner(Task.REGRESSION, kind="recall")
    for turn in range(12):
        made.learn(stream(Task.REGRESSION, 64, turn))
    other.restore(made.state())
    for turn in range(12, 16):
        made.learn(stream(Task.REGRESSION, 64, turn))
        other.learn(stream(Task.REGRESSION, 64, turn))
    given = stream(Task.REGRESSION, 64, 99).features
    np.testing.assert_array_equal(answers(made, given), answers(other, given))
    errors = made.expert.published()["errors"]
    assert torch.equal(errors, other.expert.published()["errors"])
    assert torch.isfinite(errors).sum() > 1


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_of_classes_it_answers_the_shares(task: Task) -> None:
    """A configuration that names it for classes would fail."""
    made = learner(task, kind="recall")
    for turn in range(4):
        made.learn(stream(task, 64, turn))
    found = answers(made, stream(task, 3, 99).features)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-5)
    assert (found == found[0]).all()
