"""Tests at a label delay: what is known when, what is learned in which pieces, and that nothing leaks."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest

from models.baselines import BASELINES, Majority, Mean, NoChange
from models.delayed import DelayedTest
from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import LearnerOptions, Predictions, Trial
from models.registry import create_learner

KEY = FeatureKey("x", Kind.NUMBER)


def make_examples(xs: Sequence[float], labels: Sequence[Label], weights: Sequence[float] | None = None) -> Examples:
    """Return rows with one feature."""
    rows = len(labels)
    numbers = np.array(xs, np.float64).reshape(rows, 1)
    weighed = np.ones(rows) if weights is None else np.array(weights)
    return Examples(Features(rows, (KEY,), numbers), list(labels), weighed.astype(np.float32), np.full(rows, np.nan))


def feed(test: DelayedTest, given: Examples, delay: int) -> dict[str, float]:
    """Put rows through a test, block by block, and return the scores of all of them."""
    for start in range(0, len(given), delay):
        test.take(given.slice(start, start + delay))
    return test.scores()["stream"]


class Remembering:
    """Answers a row with the label of the last row that it learned with the same feature: an oracle, if labels leak."""

    def __init__(self) -> None:
        self.known: dict[float, Label] = {}
        self.learned: list[list[Label]] = []
        self.answered: list[int] = []

    def try_out(self, features: Features) -> Trial:
        self.answered.append(len(features))
        answers = [self.known.get(x, "none") for x in features.numbers[:, 0].tolist()]
        classes = tuple(dict.fromkeys(self.known.values()))
        shares = np.array([[answer == known for known in classes] for answer in answers], np.float32)
        return Trial(Predictions(classes, shares.reshape(len(features), len(classes))), finite=True)

    def learn(self, examples: Examples) -> None:
        self.learned.append(list(examples.labels))
        self.known |= dict(zip(examples.features.numbers[:, 0].tolist(), examples.labels, strict=True))


def test_a_delay_computed_by_hand() -> None:
    """Scores would be those of another delay than the one that they are compared at.

    At a delay of two, "repeat the last label" answers: nothing, nothing, b, b, a, a; of a b, a a, a b it gets the
    third wrong, the fourth wrong, the fifth right and the sixth wrong. Nothing is no answer, and not scored.
    """
    given = make_examples([0] * 6, list("abaaab"))
    scores = feed(DelayedTest(NoChange(Task.MULTICLASS), Task.MULTICLASS, 2), given, 2)
    assert (scores["accuracy"], scores["scored"]) == pytest.approx((1 / 4, 4))
    one = feed(DelayedTest(NoChange(Task.MULTICLASS), Task.MULTICLASS, 1), given, 1)
    assert (one["accuracy"], one["scored"]) == pytest.approx((2 / 5, 5))  # a a after a, twice


def test_no_label_of_a_block_is_known_when_it_is_predicted() -> None:
    """A learner would score 1.0 on what it was told, and the comparison would be worth nothing.

    Each feature comes twice within one block, and with another label in every block: whoever saw one label of the block
    would know the other.
    """
    random = np.random.default_rng(0)
    delay, blocks = 8, 40
    xs = np.tile(np.repeat(np.arange(delay // 2), 2), blocks)
    labels = [str(label) for label in np.repeat(random.integers(5, size=(blocks, delay // 2)), 2).tolist()]
    for size in (1, 3, delay, 20):
        scores = feed(
            DelayedTest(Remembering(), Task.MULTICLASS, delay, size), make_examples(xs.tolist(), labels), delay
        )
        assert 0.1 < scores["accuracy"] < 0.3, size
    told = feed(DelayedTest(Remembering(), Task.MULTICLASS, 1), make_examples(xs.tolist(), labels), 1)
    assert told["accuracy"] > 0.55  # at a delay of one row the second of each pair is known


@pytest.mark.parametrize(
    ("size", "learned"),
    [
        (None, ["abcd", "efgh"]),
        (2, ["ab", "cd", "ef", "gh", "ij"]),
        (3, ["abc", "def", "ghi"]),
        (1, list("abcdefghij")),
        (6, ["abcd", "efghij"]),
        (100, ["abcd"]),
    ],
)
def test_labels_are_learned_in_microbatches_of_the_size(size: int | None, learned: list[str]) -> None:
    """A size would mean something else than the documentation says: the first labels at once, then full ones only.

    What is left at the end waits for more rows; there would be nothing left to predict with it.
    """
    learner = Remembering()
    feed(DelayedTest(learner, Task.MULTICLASS, 4, size), make_examples(range(10), "abcdefghij"), 4)
    assert ["".join(map(str, labels)) for labels in learner.learned] == learned
    assert learner.answered == [4, 4, 2]


def test_a_block_longer_than_the_delay_is_refused() -> None:
    """Rows would be predicted at a longer delay than the one that is reported."""
    with pytest.raises(ValueError, match="a block of 3 rows"):
        DelayedTest(Remembering(), Task.MULTICLASS, 2).take(make_examples([1, 2, 3], "abc"))


def test_the_scores_are_those_that_a_learner_keeps_itself_at_the_same_delay() -> None:
    """Asking for answers beside learning would give other scores than the service reports."""
    random = np.random.default_rng(1)
    xs = random.normal(size=640)
    given = make_examples(
        xs.tolist(), (xs + random.normal(size=640) > 0).tolist(), random.choice([0.5, 2.0], 640).tolist()
    )
    learner = create_learner(LearnerOptions(kind="linear", device="cpu"), Task.BINARY)
    scores = feed(DelayedTest(learner, Task.BINARY, 32), given, 32)
    kept = learner.status().scores["stream"]
    assert scores == pytest.approx({name: kept[name] for name in scores})
    assert {"accuracy", "log_loss", "roc_auc", "balanced_accuracy", "scored"} == scores.keys()


def test_classes_in_another_order_are_told_apart() -> None:
    """A learner that meets classes in an order of its own would be scored by the wrong columns."""

    class Backwards(Remembering):
        def try_out(self, features: Features) -> Trial:
            given = super().try_out(features).predictions
            assert given.probabilities is not None
            return Trial(Predictions(given.classes[::-1], given.probabilities[:, ::-1]), finite=True)

    given = make_examples([1, 2, 3] * 4, list("abc") * 4)
    assert feed(DelayedTest(Backwards(), Task.MULTICLASS, 3), given, 3)["accuracy"] == 1.0


def test_only_learning_is_timed() -> None:
    """The speed would depend on how the answers are asked for, which no service does beside learning."""
    ticks = count()
    test = DelayedTest(Majority(), Task.MULTICLASS, 2, 1, clock=lambda: float(next(ticks)))
    feed(test, make_examples(range(6), "abaaab"), 2)
    assert (test.rows, test.seconds) == (6, 6.0)  # one tick for each microbatch


def test_baselines_for_numbers() -> None:
    """An error could not be set beside that of the mean, or of the last value, at the same delay."""
    given = make_examples([0] * 4, [1.0, 3.0, 5.0, 9.0], [1.0, 3.0, 1.0, 1.0])
    mean = feed(DelayedTest(Mean(), Task.REGRESSION, 2), given, 2)
    last = feed(DelayedTest(NoChange(Task.REGRESSION), Task.REGRESSION, 2), given, 2)
    # The first block is not scored: nobody knew a number. The mean is 2.5 then, and the last number 3.
    assert mean["mae"] == pytest.approx((2.5 + 6.5) / 2)
    assert last["mae"] == pytest.approx((2.0 + 6.0) / 2)


def test_the_majority_is_by_weight_and_its_shares_are_probabilities() -> None:
    """The baseline would be another one than the service reports beside its scores."""
    majority = Majority()
    majority.learn(make_examples([0] * 3, "abb", [6.0, 1.0, 1.0]))
    answers = majority.try_out(Features.empty(2)).predictions
    assert answers.classes == ("a", "b")
    assert answers.probabilities is not None
    assert answers.probabilities.tolist() == [[0.75, 0.25]] * 2
    assert all(tasks[task]() for tasks in BASELINES.values() for task in tasks)
