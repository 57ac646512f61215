"""Raw columns: what thresholds are set in, so nothing in them may move once it has been met."""

import numpy as np

from models.encoder_layout import MOST_RAWS, Layout
from models.encoder_sides import Scale
from models.examples import FeatureKey, Features, Kind, Task
from models.features import FeatureEncoder


def features(values: list[list[float]], **categories: list[str | None]) -> Features:
    """Return rows of numbers and categories."""
    matrix = np.array(values, np.float64)
    keys = tuple(FeatureKey(f"x{place}", Kind.NUMBER) for place in range(matrix.shape[1]))
    return Features(len(matrix), keys, matrix, categories)


def raw_of(encoder: FeatureEncoder, given: Features) -> np.ndarray:
    """Return the raw columns in use."""
    return encoder.encode_raw(encoder.prepare(given))[:, : encoder.layout.raws]


def test_raw_values_do_not_move_with_what_comes_later() -> None:
    """A threshold would cut at another value after each microbatch, and what its leaves learned would be for others."""
    encoder = FeatureEncoder(Task.BINARY, Layout(), {})
    first = features([[1.7e9, 5.0], [1.7e9 + 1, np.nan]], city=["Oslo", None])
    encoder.observe(encoder.prepare(first))
    before = raw_of(encoder, first)
    np.testing.assert_array_equal(before[:, 0], [0.0, 1.0])
    np.testing.assert_array_equal(before[:, 1], [0.0, np.nan])
    assert 0 <= before[0, 2] < 1
    assert np.isnan(before[1, 2])
    later = features([[3e9, -70.0, 8.0], [1e12, 1e300, 9.0]], city=["Rome", "Oslo"], day=["mon", "tue"])
    encoder.observe(encoder.prepare(later))
    after = raw_of(encoder, first)
    np.testing.assert_array_equal(after[:, :3], before)
    assert np.isnan(after[:, 3:]).all()
    assert raw_of(encoder, later)[1, 2] == before[0, 2]
    assert np.isfinite(raw_of(encoder, later)).all()


def test_raw_columns_are_bounded() -> None:
    """Wide events would cost a second matrix of their whole width."""
    encoder = FeatureEncoder(Task.BINARY, Layout(), {})
    wide = features(np.ones((3, MOST_RAWS + 50)).tolist(), city=["a", "b", "c"])
    for _ in range(3):  # a flood of names is let in only when they are met again
        encoder.observe(encoder.prepare(wide))
    assert encoder.layout.raws == MOST_RAWS
    assert not np.nan_to_num(encoder.encode_raw(encoder.prepare(wide)))[:, :256].any()
    assert encoder.encode(encoder.prepare(wide), Scale(0.5, 0.5)).shape[1] > MOST_RAWS
