"""Streams for the benchmark of learning, and rows as peers take them."""

import numpy as np
import pytest

from benchmarks.learning.drifting import DRIFTING, ROWS
from benchmarks.learning.streams import examples_of, sources
from benchmarks.peers.rows import Latest, readable, rows_of
from models.examples import Kind, Task


@pytest.mark.parametrize("name", sorted(DRIFTING))
def test_made_streams_repeat(name: str) -> None:
    """Two learners would be compared on different rows, or another seed would be the same stream."""
    first, again, other = (DRIFTING[name].open(name, 50, seed).examples for seed in (0, 0, 1))
    assert first.labels == again.labels
    np.testing.assert_array_equal(first.features.numbers, again.features.numbers)
    assert not np.array_equal(first.features.numbers, other.features.numbers)
    assert len(first) == 50


def test_a_concept_that_comes_back_goes_on() -> None:
    """Rows that were learned before would come again, and remembering them would look like remembering a concept."""
    stream = DRIFTING["blobs-recurring"].open("blobs-recurring", None, 0)
    assert stream.drifts == (5_000, 10_000, 15_000)
    assert stream.concepts == (0, 1, 0, 1)
    assert len(stream.examples) == ROWS
    rows = stream.examples.features.numbers
    assert not np.array_equal(rows[:5_000], rows[10_000:15_000])
    means = [rows[start : start + 5_000].mean(axis=0) for start in range(0, ROWS, 5_000)]
    assert np.abs(means[0] - means[2]).max() < np.abs(means[0] - means[1]).max() / 2


def test_drifts_beyond_the_rows_are_none() -> None:
    """A short run would look for a drift that it never comes to."""
    short = DRIFTING["sea-abrupt"].open("sea-abrupt", 6_000, 0)
    assert (short.drifts, short.concepts) == ((5_000,), (0, 1))


def test_bundled_streams_are_read() -> None:
    """A stream would stand in the list that cannot be opened."""
    stream = sources()["phishing"].open("phishing", 20, 0)
    assert len(stream.examples) == 20
    assert stream.task is Task.BINARY


def test_dates_become_numbers_for_peers() -> None:
    """Each moment would be a category of its own to a forest: ours would win by reading what nobody else could."""
    examples = examples_of([{"at": "1970-01-02 12:30:00", "where": "here"}, {"where": "there"}], ["a", "b"])
    features = readable(examples).features
    found = {key.name: features.numbers[:, place].tolist() for place, key in enumerate(features.keys)}
    assert set(features.categories) == {"where"}
    assert all(key.kind is Kind.NUMBER for key in features.keys)
    assert found["at.seconds"][0] == 86_400 + 12.5 * 3_600
    assert found["at.hour"][0] == 12.5
    assert found["at.weekday"][0] == 4
    assert np.isnan(found["at.hour"][1])


def test_rows_leave_out_what_is_missing() -> None:
    """A peer would be given a number that is none."""
    features = examples_of([{"x": 1.5, "c": "u"}, {"c": "v"}, {"x": 2}], ["a"] * 3).features
    assert rows_of(features) == [{"x": 1.5, "c": "u"}, {"c": "v"}, {"x": 2.0}]


def test_texts_become_words() -> None:
    """A text would be one category that never comes again."""
    features = examples_of([{"text": "Win, win now"}], ["spam"]).features
    latest = Latest()
    rows = latest.rows(features, text=True)
    assert rows == [{"word=win": 2.0, "word=now": 1.0}]
    assert latest.rows(features, text=True) is rows
