"""Columns of examples keep every row whole, however they are cut, joined and picked from."""

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.answered import UNANSWERED, Answered
from models.examples import Examples, FeatureKey, Features, Kind

NAMES = st.sampled_from(["a", "b", "c"])
NUMERIC = st.builds(FeatureKey, NAMES, st.sampled_from([Kind.NUMBER, Kind.BOOLEAN, Kind.VECTOR]))
VALUES = st.one_of(st.just(float("nan")), st.floats(allow_nan=False, allow_infinity=False))
WORDS = st.one_of(st.none(), st.sampled_from(["x", "y", ""]))
BAGS = st.one_of(st.none(), st.lists(st.sampled_from(["x", "y"]), max_size=3))


@st.composite
def some_answered(draw: st.DrawFn, rows: int) -> Answered:
    """Draw what was answered about so many rows: of few classes, by few versions."""
    classes = tuple(draw(st.lists(st.sampled_from(["late", "1", "true"]), unique=True, max_size=3)))
    versions = np.array(draw(st.lists(st.integers(UNANSWERED, 2), min_size=rows, max_size=rows)), np.int64)
    shares = draw(st.lists(st.floats(0, 1, width=32), min_size=rows * len(classes), max_size=rows * len(classes)))
    probabilities = np.array(shares, np.float32).reshape(rows, len(classes))
    probabilities[versions == UNANSWERED] = 0
    return Answered(versions, classes, probabilities, np.where(versions == UNANSWERED, np.nan, versions / 2))


@st.composite
def some_examples(draw: st.DrawFn, min_rows: int = 0) -> Examples:
    """Draw a few rows with a few columns of every kind, each value perhaps missing."""
    rows = draw(st.integers(min_rows, 6))
    keys = tuple(draw(st.lists(NUMERIC, unique=True, max_size=4)))
    numbers = draw(st.lists(st.lists(VALUES, min_size=len(keys), max_size=len(keys)), min_size=rows, max_size=rows))
    features = Features(
        rows,
        keys,
        np.array(numbers, np.float64).reshape(rows, len(keys)),
        draw(st.dictionaries(NAMES, st.lists(WORDS, min_size=rows, max_size=rows), max_size=2)),
        draw(st.dictionaries(NAMES, st.lists(BAGS, min_size=rows, max_size=rows), max_size=2)),
    )
    labels = draw(st.lists(st.one_of(st.text(max_size=2), st.integers(), st.booleans()), min_size=rows, max_size=rows))
    weights = draw(st.lists(st.floats(0, 8, width=32), min_size=rows, max_size=rows))
    times = draw(st.lists(VALUES, min_size=rows, max_size=rows))
    digests = np.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=3 * rows, max_size=3 * rows)), np.uint64)
    ids = digests[rows:].reshape(rows, 2) if draw(st.booleans()) else None
    sources = digests[:rows] if draw(st.booleans()) else None
    labelled = digests[:rows] % 2 == 0 if draw(st.booleans()) else None
    answered = draw(some_answered(rows)) if draw(st.booleans()) else None
    featured = digests[:rows] % 3 == 0 if draw(st.booleans()) else None
    columns = np.array(weights, np.float32), np.array(times, np.float64), ids, sources, labelled
    return Examples(features, labels, *columns, answered=answered, featured=featured)


def answer_of(answered: Answered | None, row: int) -> Any:
    """Return what was answered about a row, classes of probability 0 left out; None where nothing was."""
    if answered is None or answered.versions[row] == UNANSWERED:
        return None
    shares = dict(zip(answered.classes, answered.probabilities[row].tolist(), strict=True))
    named = {name: share for name, share in shares.items() if share}
    return int(answered.versions[row]), named, float(answered.values[row])


def rows_of(examples: Examples) -> list[Any]:
    """Return each row as what it says, columns in which it has nothing left out."""
    features = examples.features
    return [
        (
            {
                key: value
                for key, value in zip(features.keys, features.numbers[row].tolist(), strict=True)
                if not math.isnan(value)
            },
            {name: column[row] for name, column in features.categories.items() if column[row] is not None},
            {name: column[row] for name, column in features.tokens.items() if column[row] is not None},
            (type(examples.labels[row]), examples.labels[row]),
            float(examples.weights[row]),
            repr(float(examples.timestamps[row])),
            [0, 0] if examples.ids is None else examples.ids[row].tolist(),
            0 if examples.sources is None else int(examples.sources[row]),
            examples.labelled is None or bool(examples.labelled[row]),
            examples.featured is None or bool(examples.featured[row]),
            answer_of(examples.answered, row),
        )
        for row in range(len(examples))
    ]


def expect_whole(examples: Examples) -> None:
    """Assert that all columns have as many rows as they should, and the dtypes promised."""
    rows = len(examples)
    features = examples.features
    assert len(features) == rows
    assert features.numbers.shape == (rows, len(features.keys))
    assert features.numbers.dtype == np.float64
    assert len(set(features.keys)) == len(features.keys)
    assert all(len(column) == rows for column in [*features.categories.values(), *features.tokens.values()])
    assert examples.weights.shape == examples.timestamps.shape == (rows,)
    assert examples.weights.dtype == np.float32
    assert examples.timestamps.dtype == np.float64
    answered = examples.answered
    if answered is not None:
        assert answered.versions.shape == answered.values.shape == (rows,)
        assert answered.probabilities.shape == (rows, len(answered.classes))
        assert answered.versions.dtype == np.int64
        assert answered.values.dtype == np.float64
        assert answered.probabilities.dtype == np.float32


@given(some_examples(), st.integers(0, 8))
def test_cut_and_joined_is_the_same(examples: Examples, rows: int) -> None:
    """A microbatch that ends within a chunk would lose, double or mix up rows."""
    first, rest = examples.split(rows)
    assert len(first) == min(rows, len(examples))
    for part in (first, rest):
        expect_whole(part)
    joined = Examples.concatenate([first, rest])
    expect_whole(joined)
    assert joined.features.keys == examples.features.keys
    assert rows_of(joined) == rows_of(examples)


@given(st.lists(some_examples(), max_size=4))
def test_joined_has_all_rows_in_order(parts: list[Examples]) -> None:
    """Chunks with other columns would take each other's values, or shift rows."""
    joined = Examples.concatenate(parts)
    expect_whole(joined)
    assert rows_of(joined) == [row for part in parts for row in rows_of(part)]


@given(some_examples(), some_examples(), some_examples())
def test_joining_in_steps_is_joining_at_once(first: Examples, second: Examples, third: Examples) -> None:
    """What is learned would depend on how the batcher happened to join chunks."""
    at_once = Examples.concatenate([first, second, third])
    in_steps = Examples.concatenate([Examples.concatenate([first, second]), third])
    assert in_steps.features.keys == at_once.features.keys
    assert rows_of(in_steps) == rows_of(at_once)


@given(some_examples(min_rows=1), st.data())
def test_taken_rows_are_those_asked_for(examples: Examples, data: st.DataObject) -> None:
    """Gating a label or drawing a replay would pair features with another row's label."""
    picked = data.draw(st.lists(st.integers(0, len(examples) - 1), max_size=8))
    taken = examples.take(np.array(picked, np.intp))
    expect_whole(taken)
    rows = rows_of(examples)
    assert rows_of(taken) == [rows[row] for row in picked]


@given(some_examples(), st.integers(0, 8), st.integers(0, 8))
def test_a_slice_is_a_slice(examples: Examples, start: int, stop: int) -> None:
    """A microbatch would hold other rows than its positions say."""
    part = examples.slice(start, stop)
    expect_whole(part)
    assert rows_of(part) == rows_of(examples)[start:stop]
