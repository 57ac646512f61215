"""What each feature contributes to an answer: exact for linear models, by occlusion for all others."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models import explanation
from models.contest_published import ContestPredictor
from models.examples import FeatureKey, Features, Kind, Task
from models.experts import EXPERTS
from models.explanation import Explanation, explain
from models.explanation_sums import Sums, shared_out
from models.explanation_variants import count_features
from models.learner import LearnerOptions, Predictor
from models.networks import NETWORKS
from models.registry import LEARNERS, create_learner, load_predictor
from tests.support.learning import NUMBERS, labelled, microbatches, stream, trained

TABLES = (LEARNERS, NETWORKS, EXPERTS)
KINDS = dict.fromkeys(kind for table in TABLES for kind in {made: kind for kind, made in table.items()}.values())
BLIND = {"last", "prior", "recall", "bayes"}
"""Kinds that take no notice of numbers as they are."""


def decided(rows: int, seed: int, task: Task) -> tuple[Features, NDArray[np.float64]]:
    """Return rows in which the first number decides the label alone, and that number."""
    features = stream(task, rows, seed).features
    return features, features.numbers[:, 0]


def taught(kind: str, task: Task) -> Predictor:
    """Return what a serving process makes of a learner that has seen :func:`decided` rows."""
    learner = create_learner(LearnerOptions(kind=kind, device="cpu"), task)
    for seed in range(10):
        features, first = decided(64, seed, task)
        labels = (20 * first).tolist() if task is Task.REGRESSION else (first > 0).tolist()
        learner.learn(labelled(features, labels))
    published = learner.published(flush=True)
    return load_predictor(published.spec, published.arrays)


def sums_up_to(each: Explanation) -> float:
    """Return what a baseline and contributions add up to."""
    return each.baseline + math.fsum(each.contributions.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_every_learner_is_explained(kind: str, task: Task) -> None:
    """A kind of learner could not be asked why; or what decides everything would not come first."""
    predictor = taught(kind, task)
    features, _ = decided(8, 99, task)
    unknown = FeatureKey("unheard_of", Kind.NUMBER)
    asked = replace(features, keys=(*NUMBERS, unknown), numbers=np.pad(features.numbers, ((0, 0), (0, 1))))
    asked.numbers[0, :4] = [2.5, np.nan, 0.1, np.nan]
    predictions, found = explain(predictor, asked)
    alone = predictor.predict(asked)
    np.testing.assert_array_equal(predictions.probabilities, alone.probabilities)
    np.testing.assert_array_equal(predictions.values, alone.values)
    for each in found:
        assert np.isfinite([each.baseline, each.output, *each.contributions.values()]).all()
        assert each.contributions["unheard_of"] == pytest.approx(0, abs=1e-6)
    contributions = found[0].contributions
    assert contributions.keys() == {"x0", "x2", f"city={asked.categories['city'][0]}", "words", "unheard_of"}
    if kind not in BLIND:
        assert max(contributions, key=lambda name: abs(contributions[name])) == "x0"


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("rate", ["auto", 0.2])
def test_contributions_of_a_linear_model_add_up_to_its_output(task: Task, rate: float | str) -> None:
    """What is called exact would not be."""
    predictor = trained(task, kind="linear", learning_rate=rate).predictor()
    predictions, found = explain(predictor, stream(task, 30, 99).features)
    for row, each in enumerate(found):
        assert each.method == "exact"
        assert sums_up_to(each) == pytest.approx(each.output, abs=1e-9)
        if predictions.values is not None:
            assert each.output == pytest.approx(predictions.values[row], abs=1e-3)
        else:
            assert predictions.probabilities is not None
            assert 1 / (1 + math.exp(-each.output)) == pytest.approx(predictions.probabilities[row].max(), abs=1e-5)


def test_one_linear_model_is_explained_by_weight_times_input() -> None:
    """Contributions would add up and be shared out among the wrong features."""
    predictor = trained(Task.BINARY, kind="linear", learning_rate=0.2).predictor()
    features = stream(Task.BINARY, 12, 99).features
    whole, found = explain(predictor, features)
    assert whole.probabilities is not None
    answered = whole.probabilities.argmax(axis=1)
    for column in range(len(NUMBERS)):
        numbers = features.numbers.copy()
        numbers[:, column] = np.nan
        without = predictor.predict(replace(features, numbers=numbers)).probabilities
        assert without is not None
        # Of two classes it is the sum of weighted inputs, so that this is one of them.
        odds = [np.log(each[:, 1].astype(float)) - np.log(each[:, 0]) for each in (whole.probabilities, without)]
        weighted = (odds[0] - odds[1]) * np.where(answered == 1, 1.0, -1.0)
        mine = [each.contributions[f"x{column}"] for each in found]
        np.testing.assert_allclose(mine, weighted, atol=1e-4)


def test_what_is_no_sum_over_features_is_not_called_exact() -> None:
    """Contributions that miss what features do together would be made to add up all the same."""
    # One row of two features: as it is, without any, and without each.
    rows, shares = np.array([0, 0, 0, 0]), np.ones(1)
    outputs = np.array([3.0, 0.0, 2.0, 1.0]).reshape(4, 1, 1)
    shared = shared_out(Sums(outputs, shares), rows, None)
    assert shared is not None
    np.testing.assert_allclose(shared.contributions, [1, 2])
    outputs[0] += 0.1
    assert shared_out(Sums(outputs, shares), rows, None) is None
    outputs[1] = np.nan
    assert shared_out(Sums(outputs, shares), rows, None) is None


def test_shares_and_outputs_may_be_extreme() -> None:
    """A model that is sure of itself, or one copy of which is heeded alone, could not be explained."""
    rows, shares = np.array([0, 0, 0, 0]), np.array([1.0, 0.0])
    outputs = np.zeros((4, 2, 3))
    outputs[0, :, 1], outputs[2, :, 1], outputs[3, :, 1] = 3_000, 1_000, 2_000
    shared = shared_out(Sums(outputs, shares), rows, np.array([1]))
    assert shared is not None
    assert shared.baseline[0] == pytest.approx(-math.log(2))
    assert shared.output[0] == pytest.approx(3_000 - math.log(2))
    np.testing.assert_allclose(shared.contributions, [2_000, 1_000])


def test_a_vector_and_tokens_are_one_feature_each() -> None:
    """A client would be told of parts of which it has never heard, and be charged for each."""
    keys = (FeatureKey("place[0]", Kind.VECTOR), FeatureKey("place[1]", Kind.VECTOR), FeatureKey("a[0]", Kind.NUMBER))
    features = Features(2, keys, np.array([[1, 2, 3], [np.nan, 2, np.nan]]), {}, {"words": [["big", "red"], None]})
    predictor = trained(Task.BINARY, kind="linear").predictor()
    _, (first, second) = explain(predictor, features)
    assert first.contributions.keys() == {"place", "a[0]", "words"}
    assert second.contributions.keys() == {"place"}
    assert count_features(features) == 4


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is computed at once would be seen in the answer."""
    features = stream(Task.MULTICLASS, 9, 99).features
    for kind in ("linear", "fm"):
        predictor = trained(Task.MULTICLASS, kind=kind).predictor()
        monkeypatch.setattr(explanation, "CELLS", 1 << 20)
        at_once = explain(predictor, features)[1]
        monkeypatch.setattr(explanation, "CELLS", 20)
        for one, other in zip(at_once, explain(predictor, features)[1], strict=True):
            assert one.contributions == pytest.approx(other.contributions, abs=1e-4)


def test_each_row_is_explained_by_whoever_answers_it() -> None:
    """Where challengers answer some requests, a row would be explained by a model that did not answer it."""
    features = stream(Task.BINARY, 2, 99).features
    champion, challenger = (trained(Task.BINARY, kind=kind).predictor() for kind in ("fm", "mlp"))
    both = ContestPredictor(Task.BINARY, ("fm", "mlp"), [0.5], [champion, challenger])
    keys = np.array([2**64 - 1, 0], np.uint64)
    predictions, found = explain(both, features, keys)
    assert predictions.contenders == ("fm", "mlp")
    alone = [explain(champion, features)[1][0], explain(challenger, features)[1][1]]
    for one, other in zip(found, alone, strict=True):
        assert one.contributions == pytest.approx(other.contributions, abs=1e-4)
        assert one.output == pytest.approx(other.output, abs=1e-4)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_where_there_is_but_one_class_nothing_contributes(task: Task) -> None:
    """What is not finite would be answered as null, for as long as no second class was seen."""
    given = next(iter(microbatches(task, 1)))
    for kind in ("linear", "mlp"):
        learner = create_learner(LearnerOptions(kind=kind, device="cpu"), task)
        learner.learn(labelled(given.features, ["late"] * len(given)))
        for each in explain(learner.predictor(), given.features)[1]:
            assert (each.baseline, each.output, {*each.contributions.values()}) == (0, 0, {0})


def test_before_anything_is_learned_there_is_nothing_to_explain() -> None:
    """The first requests of a new model would fail."""
    asked = next(iter(microbatches(Task.BINARY, 1))).features
    for kind in ("linear", "online"):
        learner = create_learner(LearnerOptions(kind=kind, device="cpu"), Task.BINARY)
        assert not explain(learner.predictor(), asked)[1]
        learner = create_learner(LearnerOptions(kind=kind, device="cpu"), Task.REGRESSION)
        assert not any(any(each.contributions.values()) for each in explain(learner.predictor(), asked)[1])
    learned = trained(Task.BINARY, kind="linear").predictor()
    assert not explain(learned, Features.empty())[1]
    (nothing,) = explain(learned, Features.empty(1))[1]
    assert (nothing.contributions, nothing.output) == ({}, nothing.baseline)
