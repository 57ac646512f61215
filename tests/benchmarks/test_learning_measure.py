"""The measure of learning: what is answered before which label is learned, and what the scores are."""

import numpy as np
import pytest

from benchmarks.learning.measure import (
    AFTER,
    BEFORE,
    FLOOR,
    WORST,
    Scores,
    TimeIsUp,
    calibration_error,
    prequential,
    recovery,
    visits,
)
from benchmarks.learning.streams import Stream, examples_of
from benchmarks.peers.headrace_peers import Headrace
from models.examples import Examples, Features, Label, Task
from models.learner import Predictions


def stream(labels: list[Label], task: Task = Task.MULTICLASS, drifts: tuple[int, ...] = ()) -> Stream:
    """Return a stream whose one feature counts its rows."""
    return Stream("made", task, examples_of([{"row": row} for row in range(len(labels))], labels), drifts=drifts)


class LastLabel:
    """Answers the label that it learned last, and writes down what happens."""

    answers_while_learning = False

    def __init__(self) -> None:
        self.known: list[Label] = []
        self.calls: list[tuple[str, int]] = []

    def predict(self, features: Features) -> Predictions:
        """Answer the same for all rows."""
        self.calls.append(("predict", int(features.numbers[0, 0])))
        classes = tuple(self.known[-1:])
        return Predictions(classes, np.ones((len(features), len(classes)), np.float32))

    def learn(self, examples: Examples) -> None:
        """Remember the last label."""
        self.calls.append(("learn", int(examples.features.numbers[0, 0])))
        self.known.extend(examples.labels)


@pytest.mark.parametrize(
    ("delay", "accuracy"),
    [
        # a b a b b is answered by: nothing, a, b, a, b
        (1, 1 / 4),
        # by: nothing, nothing, b, b, b
        (2, 2 / 3),
        # by: nothing, nothing, nothing, a, a
        (3, 0.0),
    ],
)
def test_labels_come_late_by_a_block(delay: int, accuracy: float) -> None:
    """Learners would be compared at another delay than the one that the table names."""
    found = prequential(LastLabel(), stream(["a", "b", "a", "b", "b"]), delay)
    assert found.scores["accuracy"] == pytest.approx(accuracy)
    assert found.scores["scored"] == 5 - delay


class Clairvoyant(LastLabel):
    """Answers 0, or the class that is right, from the very first row on: as who was told it beforehand."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def predict(self, features: Features) -> Predictions:
        """Answer the same for all rows."""
        if self._task is Task.REGRESSION:
            return Predictions(values=np.zeros(len(features)))
        return Predictions(("a",), np.ones((len(features), 1), np.float32))


@pytest.mark.parametrize(
    ("task", "labels", "score", "expected"),
    [
        (Task.MULTICLASS, ["a", "a", "a", "b"], "accuracy", 1 / 2),
        (Task.REGRESSION, [1000.0, 1000.0, 1.0, 3.0], "mae", 2.0),
    ],
)
def test_what_is_answered_before_any_label_is_scored_for_nobody(
    task: Task, labels: list[Label], score: str, expected: float
) -> None:
    """Who was told the classes beforehand would be ahead by the first block, and who guesses numbers near 0 too."""
    found = prequential(Clairvoyant(task), stream(labels, task), 2)
    assert (found.scores[score], found.scores["scored"]) == pytest.approx((expected, 2))
    assert prequential(Clairvoyant(task), stream(labels, task), 4).scores == {"scored": 0}


def test_each_block_is_answered_before_it_is_learned() -> None:
    """A learner could have seen the labels that it is scored by."""
    competitor = LastLabel()
    prequential(competitor, stream(["a"] * 5), 2)
    assert competitor.calls == [
        ("predict", 0), ("learn", 0), ("predict", 2), ("learn", 2), ("predict", 4), ("learn", 4)
    ]  # fmt: skip


def test_probabilities_are_scored_by_hand() -> None:
    """Log loss or calibration would be another number than the one that it is called."""
    scores = Scores(stream(["no", "yes"], Task.BINARY))
    given = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], np.float32)
    scores.add(Predictions(("no", "yes"), given), ["no", "no", "other"])
    found = scores.report()
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["log_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.4) + np.log(FLOOR)) / 3, rel=1e-6)
    assert found["calibration_error"] == pytest.approx((0.2 + 0.6 + 0.7) / 3, rel=1e-6)


def test_a_class_is_a_type_too() -> None:
    """The class 1 would be taken for the class true."""
    scores = Scores(stream([1, True]))
    scores.add(Predictions((True, 1), np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)), [1, True])
    assert scores.report()["accuracy"] == pytest.approx(0.5)


def test_no_number_is_the_worst_answer() -> None:
    """A learner that diverged would look good, or nothing that comes after it could be read."""
    scores = Scores(stream([1.0, 2.0, 4.0], Task.REGRESSION))
    scores.add(Predictions(values=np.array([2.0, 2.0, 2.0])), [1.0, 2.0, 4.0])
    assert scores.report() == {"scored": 3.0, "mae": 1.0}
    scores.add(Predictions(values=np.array([np.nan, np.inf])), [1.0, 2.0])
    assert WORST / 3 < scores.report()["mae"] < WORST


def test_calibration_by_hand() -> None:
    """Confident and wrong would count as well calibrated."""
    assert calibration_error(np.array([0.8] * 5), np.array([1.0, 1, 1, 1, 0])) == pytest.approx(0.0)
    assert calibration_error(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(0.5)
    assert calibration_error(np.array([0.9, 0.1]), np.array([0.0, 1.0])) == pytest.approx(0.9)


def test_recovery_counts_events_until_the_score_is_back() -> None:
    """A slow learner would seem to come back as fast as a quick one."""
    before = np.ones(BEFORE)
    at_once, after_700 = np.ones(3000), np.r_[np.zeros(700), np.ones(2300)]
    assert recovery(np.r_[before, at_once], [BEFORE]) == 0
    # Of the next 500, ten may be wrong: two points.
    assert recovery(np.r_[before, after_700], [BEFORE]) == 700 - 0.02 * AFTER
    assert recovery(np.r_[before, np.zeros(3000)], [BEFORE]) == 3000
    both = np.r_[before, after_700, before, at_once]
    assert recovery(both, [BEFORE, 2 * BEFORE + 3000]) == (700 - 0.02 * AFTER) / 2


def test_visits_tell_who_has_forgotten() -> None:
    """A learner that has to learn an old concept anew would look like one that remembers it."""
    drifts, concepts = [3000, 6000, 9000], (0, 1, 0, 1)
    slow, quick = np.r_[np.zeros(700), np.ones(2300)], np.r_[np.zeros(100), np.ones(2900)]
    other = np.r_[np.zeros(1000), np.tile([1.0, 1.0, 1.0, 0.0], 500)]  # known is what it came to itself
    found = visits(np.r_[slow, other, quick, other], drifts, concepts)
    assert found is not None
    assert found[0] > found[1]
    assert found[0] - found[1] == (700 - 100) / 2
    assert found[1] == pytest.approx((100 - 0.02 * AFTER + 1000) / 2, abs=20)
    assert visits(np.r_[slow, other], [3000], (0, 1)) is None
    assert visits(slow, [], ()) is None


def test_a_drift_is_where_the_stream_has_it() -> None:
    """The events until a score is back would be counted from a block too late."""
    scores = Scores(stream(["a"], drifts=(64 + BEFORE,)))
    scores.leave_out(64)
    for hits, rows in ((1.0, BEFORE), (0.0, 700), (1.0, 2300)):
        scores.add(Predictions(("a", "b"), np.tile(np.array([hits, 1 - hits], np.float32), (rows, 1))), ["a"] * rows)
    assert scores.report()["recovery"] == 700 - 0.02 * AFTER


def test_time_runs_out() -> None:
    """One slow peer would hold up all the others."""
    with pytest.raises(TimeIsUp, match="2 of 6 rows"):
        prequential(LastLabel(), stream(["a"] * 6), 2, limit=-1)


def test_our_own_score_is_the_same() -> None:
    """Ours would be measured otherwise than the service measures itself."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(300, 3))
    labels: list[Label] = ["up" if point.sum() > 0 else "down" for point in points]
    rows = [dict(zip("abc", point, strict=True)) for point in points.tolist()]
    given = Stream("made", Task.BINARY, examples_of(rows, labels))
    competitor = Headrace("linear", given, seed=0)
    found = prequential(competitor, given, 64)
    assert found.scores["accuracy"] == pytest.approx(competitor.scores["accuracy"], abs=1e-6)
    assert found.scores["scored"] == competitor.scores["scored"] == 300 - 64
    assert found.scores["accuracy"] > 0.5
