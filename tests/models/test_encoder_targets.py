"""What the encoder makes of targets learned before: lags, levels, many classes, and what they are worth."""

import math

import numpy as np
import pytest

from models.encoder_lags import RATES, add_to_lags, new_lags
from models.encoder_layout import NONE, Layout, Role
from models.encoder_levels import MOST, hash_numbers
from models.encoder_sides import GROUPS, Scale, as_sides, sides_of
from models.encoder_statistics import add_targets, new_table
from models.examples import FeatureKey, Features, Kind, Task
from models.features import FeatureEncoder
from tests.support.learning import numbers

UNIT = Scale(0.0, 1.0)


def encoder(task: Task = Task.REGRESSION) -> FeatureEncoder:
    """Return a new encoder."""
    return FeatureEncoder(task, Layout(), {})


def learned(made: FeatureEncoder, features: Features, targets: np.ndarray, scale: Scale = UNIT) -> np.ndarray:
    """Learn a microbatch; return what it was encoded as before its targets were known."""
    prepared = made.prepare(features)
    made.observe(prepared)
    found = made.encode(prepared, scale)
    made.learn_targets(prepared, targets, scale)
    return found


def lags(made: FeatureEncoder, rows: int = 2, scale: Scale = UNIT) -> np.ndarray:
    """Return the columns of lags."""
    found = made.encode(made.prepare(Features.empty(rows)), scale)
    return found[:, made.layout.lags : made.layout.lags + len(RATES)]


def test_a_single_target_of_1e30_says_nothing_of_its_category_ever_after() -> None:
    """A broken sensor would take away what is known of the category that it belongs to, for as long as the model is."""
    made, random = encoder(), np.random.default_rng(0)
    for turn in range(40):
        names = ["east" if place else "west" for place in random.integers(2, size=32).tolist()]
        targets = np.array([1.0 if name == "east" else -1.0 for name in names])
        if turn == 3:
            targets[names.index("west")] = 1e30
        learned(made, Features(32, (), np.empty((32, 0)), {"at": names}), targets)
    asked = Features(2, (), np.empty((2, 0)), {"at": ["east", "west"]})
    slow_means = made.encode(made.prepare(asked), UNIT)[:, made.layout.strings[FeatureKey("at", Kind.CATEGORY)]]
    np.testing.assert_allclose(slow_means, [1.0, -1.0], atol=0.1)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_lags_are_decaying_means_whatever_the_size_of_microbatches(rows: int) -> None:
    """What a stream did of late would depend on how its events were cut."""
    targets = np.random.default_rng(0).normal(5e6, 1.0, 192)
    found = new_lags(1)
    for start in range(0, 192, rows):
        add_to_lags(found, targets[start : start + rows, None])
    expected = np.full(len(RATES), targets[0])
    for target in targets:
        expected += np.array(RATES) * (target - expected)
    np.testing.assert_allclose(found[2:, 0] - 5e6, expected - 5e6, atol=1e-6)
    assert found[0, 0] == 192
    assert found[1, 0] == pytest.approx(targets.mean(), abs=1e-6)


def test_a_microbatch_does_not_see_its_own_targets() -> None:
    """Scores would be those of a model that knows the answers."""
    first, second = encoder(), encoder()
    random = np.random.default_rng(0)
    for turn in range(20):
        features = numbers(random.integers(0, 4, (64, 1)).astype(float))
        targets = random.normal(size=64)
        same = learned(first, features, targets)
        np.testing.assert_array_equal(same, learned(second, features, targets if turn < 19 else targets + 9))
    assert (lags(first) != lags(second)).any()


def test_two_classes_have_lags_whatever_the_task_is_called_and_many_have_none() -> None:
    """A stream whose labels are two words would be known less well than if they were true and false."""
    random = np.random.default_rng(0)
    flags = (np.sin(np.arange(2048) / 40) + 0.3 * random.normal(size=2048) > 0).astype(np.float64)
    few, many = encoder(Task.MULTICLASS), encoder(Task.MULTICLASS)
    for start in range(0, 2048, 16):
        part = flags[start : start + 16]
        given = learned(few, numbers(np.zeros((16, 1))), part, Scale(0.5, 0.5))
        learned(many, numbers(np.zeros((16, 1))), random.integers(9, size=16).astype(np.float64), Scale(0.1, 0.3))
        if start > 1024 and (part == part[0]).all() and (flags[start - 16 : start] == part[0]).all():
            assert (given[:, few.layout.lags] > 0).all() == bool(part[0])
    assert many.layout.lags == NONE
    # A third class that is no rarity takes away what the lags of two were worth.
    for _ in range(40):
        learned(few, numbers(np.zeros((16, 1))), np.full(16, 2.0), Scale(0.5, 0.5))
    assert not lags(few).any()


def test_classes_that_became_rare_are_as_many_as_before() -> None:
    """A run of one label would make three classes two, whose lags are noise to what comes after it."""
    made, random = encoder(Task.MULTICLASS), np.random.default_rng(0)
    for _ in range(20):
        learned(made, numbers(np.zeros((50, 1))), random.integers(3, size=50).astype(np.float64), Scale(0.3, 0.5))
    for _ in range(40):
        learned(made, numbers(np.zeros((500, 1))), np.zeros(500), Scale(0.3, 0.5))
    assert made.layout.lags == NONE


def test_lags_that_tell_something_are_large_and_others_small() -> None:
    """Lags would be noise to streams that do not resemble themselves, or be of no use to those that do."""
    random = np.random.default_rng(0)
    walk, noise = np.cumsum(random.normal(0, 0.2, 4000)), random.normal(size=4000)
    last = []
    for series in (walk, noise):
        made, scale = encoder(), Scale(float(series.mean()), float(series.std()))
        for start in range(0, 4000, 8):
            given = learned(made, numbers(np.zeros((8, 1))), series[start : start + 8], scale)
        last.append(abs(made.arrays["worth"][0, made.layout.lags] / made.arrays["worth"][1, made.layout.lags]))
        assert (given[:, made.layout.lags] == given[0, made.layout.lags]).all()
    assert last[0] > 0.9
    assert last[1] < 0.1
    assert made.layout.roles[made.layout.lags] is Role.ESTIMATE


def test_numbers_with_few_values_are_told_apart_by_value() -> None:
    """The 7th month would have to lie between the 6th and the 8th."""
    random = np.random.default_rng(0)
    effect = random.normal(size=12)
    made, found = encoder(), []
    for _ in range(40):
        month = random.integers(0, 12, 64)
        fine = random.normal(size=64)
        features = numbers(np.stack([month, fine, np.round(fine, 2), np.zeros(64)], 1).astype(float))
        found.append((month, learned(made, features, effect[month] + 0.1 * random.normal(size=64))))
    assert list(made.layout.levels) == [0]
    column = made.layout.levels[0]
    month, dense = found[-1]
    assert np.corrcoef(dense[:, column], effect[month])[0, 1] > 0.98
    missing = made.encode(made.prepare(numbers(np.full((2, 4), np.nan))), UNIT)
    assert not missing[:, column : column + 3].any()


def test_many_values_are_few_only_if_they_are_whole() -> None:
    """Each rounded measurement would cost columns that tell nothing."""
    random = np.random.default_rng(0)
    made = encoder()
    for _ in range(80):
        whole = random.integers(0, 4 * MOST, 256)
        learned(made, numbers(np.stack([whole, whole / 10], 1)), np.zeros(256))
    assert list(made.layout.levels) == [0]


def test_hashes_of_numbers_stay_the_same_for_ever() -> None:
    """A restart would lose what was learned of levels and bins. The numbers are those of the first version."""
    found = hash_numbers(np.array([[0.0, 7.0], [-0.0, 7.5]]), np.array([1, 2], np.uint64))
    assert found[0, 0] == found[1, 0]
    assert (found >= 0).all()
    assert found[:, 1].tolist() == HASHES


HASHES = [4699742470721193130, 847768286594888329]


def test_of_many_classes_each_has_its_share() -> None:
    """A category would tell a dense network nothing where there are more than two classes."""
    made = encoder(Task.MULTICLASS)
    cities = Features(60, (), np.empty((60, 0)), {"city": ["Oslo", "Lima", "Pune"] * 20})
    for _ in range(3):
        learned(made, cities, np.array([0.0, 1.0, 11.0] * 20))
    column = made.layout.strings[FeatureKey("city", Kind.CATEGORY)]
    found = made.encode(made.prepare(cities), UNIT)[:3, column : column + GROUPS]
    # Class 11 shares a side with class 3.
    assert found.argmax(1).tolist() == [0, 1, 3]
    assert found.max() == pytest.approx(math.sqrt(2) * 60 / 70, rel=1e-3)
    assert made.layout.lags == NONE
    assert as_sides(np.array([1.0, 11.0]), sides_of(Task.MULTICLASS)).sum() == 2


def test_statistics_are_learned_alike_however_events_are_cut() -> None:
    """The same events would give other parameters."""
    random = np.random.default_rng(0)
    hashes, targets = random.integers(0, 5, 96), random.normal(1e6, 1.0, (96, 1))
    tables = []
    for rows in (1, 96):
        table = new_table(Task.REGRESSION)
        for start in range(0, 96, rows):
            add_targets(table, hashes[start : start + rows], targets[start : start + rows])
        tables.append(table[:5])
    # The recent mean takes a microbatch's rows of one value as their mean.
    np.testing.assert_allclose(tables[0][:, [0, 1, 3]], tables[1][:, [0, 1, 3]], rtol=1e-12)
