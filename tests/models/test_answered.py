"""What was answered about rows, as columns."""

import numpy as np

from models.answered import UNANSWERED, Answered, class_name, join_answered
from models.examples import Examples, Joint
from tests.support.learning import labelled, numbers


def answered(classes: tuple[str, ...], *rows: tuple[float, ...], version: int = 7) -> Answered:
    """Return what one version answered."""
    return Answered(np.full(len(rows), version), classes, np.array(rows, np.float32), np.full(len(rows), np.nan))


def test_a_class_keeps_its_probability_whatever_the_other_answers_name() -> None:
    """Versions that knew other classes, or in another order, would be scored on each other's."""
    joined = Answered.concatenate([answered(("a", "b"), (0.25, 0.75)), answered(("b", "c", "a"), (0.5, 0.125, 0.375))])
    assert joined.classes == ("a", "b", "c")
    np.testing.assert_array_equal(joined.probabilities, [[0.25, 0.75, 0], [0.375, 0.5, 0.125]])
    np.testing.assert_array_equal(joined.columns_of(["c", "x"]), [[0, 0], [0.125, 0]])


def test_rows_of_which_nothing_was_answered_stay_so_among_others() -> None:
    """A row that was never asked would be scored as if somebody had answered with probability 0."""
    joined = join_answered([None, answered(("a",), (1.0,)), None], [2, 1, 1])
    assert joined is not None
    assert joined.versions.tolist() == [UNANSWERED, UNANSWERED, 7, UNANSWERED]
    assert not joined.is_nothing
    assert joined.take(slice(0, 2)).is_nothing
    assert join_answered([None, None], [1, 2]) is None


def test_classes_are_named_as_json_names_them() -> None:
    """Looked for as True, a boolean class would never be found."""
    assert [class_name(label) for label in (True, 1, "1", "late", 0.5)] == ["true", "1", "1", "late", "0.5"]


def test_answers_that_name_other_classes_each_are_not_joined_without_bound() -> None:
    """A flood of made-up classes would make a matrix as large as the square of it."""
    joint, taken = Joint(), 0
    for turn in range(64):
        names = tuple(f"{turn}/{place}" for place in range(1024))
        rows: Examples = labelled(numbers(np.zeros((1024, 1))), [True] * 1024)
        shares = np.broadcast_to(np.float32(0), (1024, 1024))
        nobody = Answered(np.zeros(1024, np.int64), names, shares, np.full(1024, np.nan))
        part = Examples(rows.features, rows.labels, rows.weights, rows.timestamps, answered=nobody)
        taken += joint.takes(part, 1024)
    assert 0 < taken < 16
