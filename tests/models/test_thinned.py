"""What is learned of a stream that was thinned out answers for the whole one."""

import numpy as np
import pytest

from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import LearnerOptions, Predictions
from models.registry import create_learner, load_predictor
from models.thinned import Thinned, undone

KEYS = (FeatureKey("x", Kind.NUMBER),)


def test_odds_are_what_they_were() -> None:
    """Probabilities of a click would be too high by as much as fewer non-clicks were learned."""
    thinned = Predictions((True, False), np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    found = undone(thinned, False, 10).probabilities
    assert found is not None
    np.testing.assert_allclose(found[:, 0], [0.5 / (0.5 + 0.5 * 10), 0.9 / (0.9 + 0.1 * 10)], rtol=1e-6)
    three = Predictions(("a", "b", "c"), np.array([[0.2, 0.3, 0.5]], np.float32))
    found = undone(three, "c", 4).probabilities
    assert found is not None
    np.testing.assert_allclose(found, [[0.08, 0.12, 0.8]], rtol=1e-6)


def test_a_class_that_looks_alike_or_was_never_met_changes_nothing() -> None:
    """True would be taken for 1, and answers before the first default would be wrong."""
    given = Predictions((1, 0), np.array([[0.5, 0.5]], np.float32))
    assert undone(given, True, 10) is given
    assert undone(Predictions((), np.empty((1, 0), np.float32)), False, 10).classes == ()


@pytest.mark.parametrize("kind", ["linear", "online"])
def test_what_is_published_answers_as_the_learner_does(kind: str) -> None:
    """A serving process would answer for the thinned stream, or a restart would."""
    options = LearnerOptions(kind=kind, device="cpu", thinned=5, thinned_label=False)
    made, plain = (
        create_learner(options, Task.BINARY),
        create_learner(LearnerOptions(kind=kind, device="cpu"), Task.BINARY),
    )
    random = np.random.default_rng(0)
    values = random.normal(size=(300, 1))
    examples = Examples(
        Features(300, KEYS, values), (values[:, 0] > 0).tolist(), np.ones(300, np.float32), np.full(300, np.nan)
    )
    for each in (made, plain):
        each.learn(examples)
    assert isinstance(made, Thinned)
    asked = Features(3, KEYS, np.array([[-0.5], [0.0], [0.5]]))
    published = made.published(flush=True)
    assert made.published(flush=True).spec is published.spec
    served = load_predictor(published.spec, published.arrays).predict(asked)
    expected = undone(plain.predictor().predict(asked), False, 5)
    again = create_learner(options, Task.BINARY)
    again.restore(made.state())
    for found in (
        served,
        made.predictor().predict(asked),
        made.try_out(asked).predictions,
        again.predictor().predict(asked),
    ):
        assert found.classes == expected.classes
        assert found.probabilities is not None
        assert expected.probabilities is not None
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
