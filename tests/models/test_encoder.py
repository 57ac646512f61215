"""The feature encoder: scales, gaps, strings, dates and late comers end up where they belong, and stay there."""

import math

import numpy as np
import pytest

from models.encoder_layout import MOST_COLUMNS, NONE, Layout, rounded_up
from models.encoder_sides import Scale
from models.examples import FeatureKey, Features, Kind, Task
from models.features import FeatureEncoder
from tests.support.learning import numbers

UNIT = Scale(0.0, 1.0)


def encoder(task: Task = Task.BINARY) -> FeatureEncoder:
    """Return a new encoder."""
    return FeatureEncoder(task, Layout(), {})


def observed(*given: Features, task: Task = Task.BINARY) -> FeatureEncoder:
    """Return an encoder that has taken in some features."""
    made = encoder(task)
    for features in given:
        made.observe(made.prepare(features))
    return made


def encoded(made: FeatureEncoder, features: Features, scale: Scale = UNIT) -> np.ndarray:
    """Return the dense input."""
    return made.encode(made.prepare(features), scale)


def strings(**columns: list[str | None]) -> Features:
    """Return features that are categories only."""
    return Features(len(next(iter(columns.values()))), (), np.empty((len(next(iter(columns.values()))), 0)), columns)


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 1.0), (1e12, 1.0), (-5e6, 1e-3), (0.0, 1e-9), (0.0, 1e12)])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_numbers_are_standardised_whatever_their_offset(offset: float, spread: float, rows: int) -> None:
    """A Unix timestamp would be a constant to the network."""
    values = np.random.default_rng(0).normal(size=448)[:, None]
    given = [numbers(offset + spread * values[start : start + rows]) for start in range(0, 448, rows)]
    found = encoded(observed(*given), numbers(offset + spread * values))[:, 0]
    np.testing.assert_allclose(found, np.clip((values[:, 0] - values.mean()) / values.std(), -4, 4), atol=2e-3)


def test_it_is_ready_after_one_event() -> None:
    """The first events would be learned as zeros, or as infinities."""
    made = observed(numbers(np.array([[5.0]])))
    assert encoded(made, numbers(np.array([[5.0], [1e9]])))[:, 0].tolist() == [0.0, 0.0]
    made.observe(made.prepare(numbers(np.array([[7.0]]))))
    assert encoded(made, numbers(np.array([[7.0], [5.0], [1e300]])))[:, 0].tolist() == [1.0, -1.0, 4.0]


def test_missing_is_the_mean_and_marked() -> None:
    """A gap would be a number like any other."""
    made = observed(numbers(np.array([[1.0, 5.0], [3.0, np.nan]])))
    assert made.layout.marks == [NONE, 2]
    found = encoded(made, numbers(np.array([[3.0, np.nan], [1.0, 5.0]])))
    assert found[:, :3].tolist() == [[1.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]
    absent = encoded(made, numbers(np.array([[3.0]])))
    assert absent[0, :3].tolist() == [1.0, 0.0, 1.0]


def test_late_features_come_after_those_that_are_there() -> None:
    """What was learned for one feature would be applied to another."""
    made = observed(numbers(np.eye(3)), strings(city=["Oslo", "Lima"]))
    before = made.layout.to_json()
    made.observe(made.prepare(numbers(np.eye(4), "late")))
    after = made.layout.to_json()
    for key in ("numbers", "values", "strings", "roles"):
        assert after[key][: len(before[key])] == before[key]
    assert after["hashed"] == before["hashed"]
    assert Layout.from_json(after) == made.layout


def test_one_name_may_be_a_number_and_a_category() -> None:
    """A feature that changes its kind would spoil what was learned of the other."""
    both = Features(2, (FeatureKey("x", Kind.NUMBER),), np.array([[1.0], [2.0]]), {"x": ["1", None]})
    made = observed(both)
    assert {(each["name"], each["kind"]) for each in made.features()} == {("x", "number"), ("x", "category")}


def test_unknown_features_are_left_out() -> None:
    """A request with a misspelt feature would fall into a place that another one has."""
    made = observed(numbers(np.eye(3)), strings(city=["Oslo"]))
    known = encoded(made, strings(city=["Oslo"]))
    np.testing.assert_array_equal(encoded(made, strings(city=["Oslo"], town=["Oslo"])), known)
    assert not len(made.sparse(made.prepare(strings(town=["Oslo"])), {Kind.CATEGORY}).places)


def test_strings_hash_alike_for_ever() -> None:
    """A restart would lose everything learned of strings. The numbers are those of the first version."""
    made = observed(strings(city=["Oslo", "Lima"]))
    found = made.sparse(made.prepare(strings(city=["Oslo", None, "Lima"])), {Kind.CATEGORY})
    assert found.places.tolist() == [PLACES["Oslo"], PLACES["Lima"]]
    assert found.starts.tolist() == [0, 1, 1, 2]


PLACES = {"Oslo": 29541, "Lima": 25396}


def test_texts_are_their_words_too() -> None:
    """Two messages would have nothing in common unless they are the same."""
    made = observed(strings(text=["Free prize now", "see you"]))
    dense = encoded(made, strings(text=["FREE prize, now!", "Free prize now", "see you"]))[:, made.layout.hashed :]
    words = made.sparse(made.prepare(strings(text=["FREE prize, now!", "Free prize now"])), {Kind.TOKENS}).places
    assert words[:3].tolist() == words[3:].tolist()
    assert np.abs(dense[0] - dense[2]).sum() > 0


def test_dates_tell_the_hour_the_day_and_the_season() -> None:
    """A date would be a string that never comes again."""
    made = observed(strings(at=["2016-04-01 06:00:00", "2016-04-02T18:00:00+00:00", None, "not 2016"]))
    names = [key.name for key in made.layout.numbers]
    assert names == sorted(f"at → {part}" for part in DATE)
    assert {key.name for key in made.layout.strings} >= {"at → hour", "at → weekday", "at"}
    made.observe(made.prepare(strings(at=["2016-04-01T06:00:00Z", "2016-10-01T18:00:00Z"])))
    same = encoded(made, strings(at=["2016-04-01 06:00", "2016-04-01T06:00:00Z", "2016-04-01T06:00:00+02:00"]))
    np.testing.assert_array_equal(same[0], same[1])
    instant = made.layout.numbers[FeatureKey("at → instant", Kind.CATEGORY)]
    assert np.flatnonzero(same[0] != same[2]).tolist() == [made.layout.values[instant]]
    assert made.features() == [{"name": "at", "kind": "category"}]


DATE = ("day sine", "day cosine", "week sine", "week cosine", "year sine", "year cosine", "instant")


def test_statistics_tell_what_the_target_was_before() -> None:
    """Categories of thousands of values would tell a dense network nothing."""
    made, features = encoder(Task.REGRESSION), strings(city=["Oslo", "Lima", "Oslo", None])
    prepared = made.prepare(features)
    made.observe(prepared)
    column = made.layout.strings[FeatureKey("city", Kind.CATEGORY)]
    scale = Scale(100.0, 10.0)
    assert not made.encode(prepared, scale)[:, column : column + 3].any()
    made.learn_targets(prepared, np.array([110.0, 90.0, 120.0, 1e9]), scale)
    found = made.encode(prepared, scale)[:, column : column + 3]
    # Slow mean of 110 and 120, shrunk; their mean as the recent one; the last.
    np.testing.assert_allclose(found[0], [1.5 * 2 / 12, 1.5, 2.0], rtol=1e-5)
    np.testing.assert_allclose(found[1], [-1.0 / 11, -1.0, -1.0], rtol=1e-5)
    assert not found[3].any()
    unknown = made.encode(made.prepare(strings(city=["Pune"])), scale)[:, column : column + 3]
    assert not unknown.any()


def test_garbage_at_the_beginning_is_forgotten() -> None:
    """A sensor that began with 1e12 would be of no use for as long as the model lives."""
    random = np.random.default_rng(0)
    made = observed(numbers(np.array([[1e12], [-3e11], [0.0]])))
    for _ in range(20):
        made.observe(made.prepare(numbers(random.normal(size=(64, 1)))))
    found = encoded(made, numbers(np.array([[-1.0], [1.0]])))[:, 0]
    assert found[1] - found[0] == pytest.approx(2, abs=0.2)


def test_a_single_outlier_leaves_the_scale() -> None:
    """One wrong reading would make a constant of a sensor."""
    random = np.random.default_rng(0)
    made = observed(numbers(random.normal(size=(500, 1))))
    made.observe(made.prepare(numbers(np.array([[1e200]]))))
    found = encoded(made, numbers(np.array([[-1.0], [1.0]])))[:, 0]
    assert found[1] - found[0] == pytest.approx(2, rel=0.4)


def test_heavy_tails_get_a_column_of_their_own() -> None:
    """A delay of five hours would be the same as one of two."""
    random = np.random.default_rng(0)
    made = observed(*(numbers(np.stack([random.standard_cauchy(200), random.normal(size=200)], 1)) for _ in range(20)))
    heavy, normal = made.layout.tails
    assert heavy != NONE
    assert normal == NONE
    found = encoded(made, numbers(np.array([[0.0, 0.0], [1e2, 0.0], [1e9, 0.0]])))
    assert found[:, made.layout.values[0]].max() <= 4.0
    assert found[0, heavy] == 0.0
    assert found[2, heavy] == pytest.approx(4.0)


def test_features_without_end_do_not_fill_memory() -> None:
    """A producer that names every feature anew would end the service."""
    made = encoder()
    for start in range(0, MOST_COLUMNS + 2048, 512):
        keys = tuple(FeatureKey(f"x{place}", Kind.NUMBER) for place in range(start, start + 512))
        made.observe(made.prepare(Features(2, keys, np.random.default_rng(0).normal(size=(2, 512)))))
    assert made.layout.width <= MOST_COLUMNS
    assert math.isfinite(encoded(made, numbers(np.ones((1, 3)))).sum())


def test_widths_are_rounded_to_little_more() -> None:
    """Shapes would change with every feature, or most of a network would be empty."""
    assert [rounded_up(width) for width in (0, 1, 8, 9, 76, 129)] == [8, 8, 8, 10, 80, 160]
    assert all(width <= rounded_up(width) <= max(8, 1.25 * width) for width in range(4096))
