"""Checks of what a learner makes of what it is given: late features and classes, gaps, extremes, order."""

from collections.abc import Callable

import numpy as np

from models.checks_data import (
    broken_into,
    examples,
    reordered,
    told_by_city,
    with_features,
    with_labels,
    with_weights,
)
from models.checks_expect import Factory, answers, expect, expect_same_predictions, expect_same_state, expect_sound
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import Learner
from models.registry import load_predictor


def check_version_zero_answers(factory: Factory) -> None:
    """Check that a learner that has seen nothing predicts: no class, or a finite value."""
    learner = factory()
    predictions = learner.predictor().predict(examples(learner.task, 3).features)
    expect(predictions.classes == (), f"classes before any label: {predictions.classes}")
    expect_sound(predictions, 3, learner.task)
    published = learner.published()
    expect_sound(load_predictor(published.spec, published.arrays).predict(Features.empty(2)), 2, learner.task)


def check_learn_reports_counts(factory: Factory) -> None:
    """Check that what is reported as taken in is what was given."""
    learner = factory()
    report = learner.learn(examples(learner.task, 70))
    expect(report.examples == 70, f"{report.examples} of 70 examples reported")


def check_predictions_are_sound(factory: Factory) -> None:
    """Check that shapes, dtypes and sums of predictions are as promised."""
    learner = factory()
    for seed in range(3):
        learner.learn(examples(learner.task, 64, seed))
    expect_sound(learner.predictor().predict(examples(learner.task, 10, 9).features), 10, learner.task)


def check_trying_out_is_predicting(factory: Factory) -> None:
    """Check that what is tried out before it is published is what is published, and that trying it changes nothing."""
    learner, untouched = factory(), factory()
    features = examples(learner.task, 20, 9).features
    for seed in range(3):
        trial = learner.try_out(features)
        expect(trial.finite, "sound parameters are taken for not finite")
        expected = learner.predictor().predict(features)
        expect(trial.predictions.classes == expected.classes, f"classes {trial.predictions.classes}")
        np.testing.assert_array_equal(answers(trial.predictions), answers(expected))
        learner.learn(examples(learner.task, 64, seed))
        untouched.learn(examples(learner.task, 64, seed))
    expect_same_state(untouched.state(), learner.state())


def check_new_feature_later(factory: Factory) -> None:
    """Check that features of every kind may appear late; the answers stay sound, and earlier rows may lack them."""
    learner = factory()
    learner.learn(examples(learner.task, 64))
    learner.learn(with_features(examples(learner.task, 64, 1), "late"))
    learner.learn(examples(learner.task, 64, 2))
    names = {feature["name"] for feature in learner.status().features}
    expect({"late number", "late category", "late tokens"} <= names, f"features known: {sorted(names)}")
    for given in (examples(learner.task, 9, 3), with_features(examples(learner.task, 9, 3), "late")):
        expect_sound(learner.predictor().predict(given.features), 9, learner.task)


def check_new_class_later(factory: Factory) -> None:
    """Check that a class that appears late is known from then on, and those before keep their places."""
    learner = factory()
    if learner.task is Task.REGRESSION:
        return
    one = examples(learner.task, 40)
    learner.learn(with_labels(one, ["a"] * 40))
    expect(learner.predictor().predict(one.features).classes == ("a",), "one class is not known")
    expect_sound(learner.predictor().predict(one.features), 40, learner.task)
    later = ["b"] if learner.task is Task.BINARY else list("bcdefghij")
    for label in later:
        learner.learn(with_labels(one, [label] * 40))
    predictions = learner.predictor().predict(one.features)
    expect(predictions.classes == ("a", *later), f"classes {predictions.classes}")
    expect_sound(predictions, 40, learner.task)


def check_everything_missing(factory: Factory) -> None:
    """Check that rows without any value, or without any column, are learned and predicted."""
    learner = factory()
    given = examples(learner.task, 30)
    nothing = Examples(Features.empty(30), given.labels, given.weights, given.timestamps)
    blank = Features(30, given.features.keys, np.full_like(given.features.numbers, np.nan), {"city": [None] * 30})
    for features in (nothing.features, blank, given.features, blank, nothing.features):
        learner.learn(Examples(features, given.labels, given.weights, given.timestamps))
        expect_sound(learner.predictor().predict(features), 30, learner.task)


def check_no_rows(factory: Factory) -> None:
    """Check that a microbatch of no rows changes nothing."""
    learner = factory()
    learner.learn(examples(learner.task, 64))
    before = learner.state()
    report = learner.learn(Examples.empty())
    expect(report.examples == 0, "examples reported where there were none")
    expect_same_state(before, learner.state())
    expect_sound(learner.predictor().predict(Features.empty()), 0, learner.task)


def check_weight_zero_teaches_nothing(factory: Factory) -> None:
    """Check that a microbatch of rows of weight 0 does not change an answer."""
    learner, other = factory(), factory()
    for seed in range(2):
        learner.learn(examples(learner.task, 32, seed))
        other.learn(examples(learner.task, 32, seed))
    other.learn(with_weights(examples(learner.task, 32, 7), 0.0))
    features = examples(learner.task, 20, 9).features
    expected = answers(learner.predictor().predict(features))
    np.testing.assert_allclose(answers(other.predictor().predict(features)), expected, rtol=1e-6)


def check_one_row_at_a_time(factory: Factory) -> None:
    """Check that microbatches of one row are learned."""
    learner = factory()
    for row in broken_into(examples(learner.task, 40), 1):
        expect(learner.learn(row).examples == 1, "a row was not taken in")
    expect_sound(learner.predictor().predict(examples(learner.task, 5, 1).features), 5, learner.task)
    scores = learner.status().scores["stream"]
    expect((scores["count"], scores["scored"]) == (40, 39), f"before the first label there is no prediction: {scores}")


def check_extremes_stay_finite(factory: Factory) -> None:
    """Check that enormous and tiny numbers, labels and weights leave answers finite."""
    learner = factory()
    random = np.random.default_rng(0)
    keys = tuple(FeatureKey(name, Kind.NUMBER) for name in "xyz")
    for seed in range(6):
        given = examples(learner.task, 40, seed)
        numbers = random.choice([1e308, -1e308, 1e-308, 0.0, 1.0, np.nan], (40, 3))
        labels = given.labels
        if learner.task is Task.REGRESSION:
            labels = random.choice([1e30, -1e30, 1e-30, 1.0], 40).tolist()
        weights = random.choice([0.0, 1e-30, 1.0, 1e30], 40).astype(np.float32)
        learner.learn(Examples(Features(40, keys, numbers), labels, weights, given.timestamps))
        learner.learn(given)
        expect_sound(learner.predictor().predict(Features(40, keys, numbers)), 40, learner.task)
        expect_sound(learner.predictor().predict(given.features), 40, learner.task)
    scores = learner.status().scores
    expect(all(np.isfinite(score) for scope in scores.values() for score in scope.values()), f"{scores}")


def check_order_of_columns_means_nothing(factory: Factory) -> None:
    """Check that columns in another order, and columns in which no row has a value, change nothing, bit for bit.

    A restart cuts the log into other pieces than the first time, and so joins columns in another order. What is learned
    from it then must be the very same, for it is published under the same version number.
    """
    learner, other = factory(), factory()
    for seed in range(3):
        given = examples(learner.task, 32, seed)
        learner.learn(given)
        other.learn(reordered(given))
    features = examples(learner.task, 20, 9).features
    expect_same_predictions(learner.predictor(), other.predictor(), features)
    np.testing.assert_array_equal(
        answers(learner.predictor().predict(features)),
        answers(learner.predictor().predict(reordered(examples(learner.task, 20, 9)).features)),
    )


def check_it_learns(factory: Factory) -> None:
    """Check that on a stream that is easy, the window's score is far better than its baseline's."""
    _expect_learned(factory(), examples)


def check_it_learns_categories(factory: Factory) -> None:
    """Check the same where a category alone says the label."""
    _expect_learned(factory(), told_by_city)


def _expect_learned(learner: Learner, stream: Callable[[Task, int, int], Examples]) -> None:
    """Learn microbatches of a stream, and look at the scores of the last ones."""
    for seed in range(60):
        learner.learn(stream(learner.task, 64, seed))
    scores = learner.status().scores["window"]
    if learner.task is Task.REGRESSION:
        expect(scores["mae"] < 0.7 * scores["mean_mae"], f"{scores}")
    else:
        expect(scores["accuracy"] > scores["majority_accuracy"] + 0.15, f"{scores}")
