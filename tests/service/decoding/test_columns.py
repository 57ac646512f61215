"""Rows of Python values become features: for prediction requests the same as for events."""

from typing import Any

import numpy as np
import pytest

from models.examples import FeatureKey, Features, Kind
from service.decoding.columns import compact, features_from_rows, gather
from service.decoding.flattening import FeatureInvalid
from service.decoding.list_columns import MAXIMUM_FEATURES
from service.settings.event_options import EventOptions


def test_rows_become_columns_in_the_order_of_names() -> None:
    """Fails when the same rows give differently ordered features, or a missing value is not missing."""
    features = features_from_rows([{"b": 1, "a": "x"}, {"c": True, "a": None}, {"v": [1, 2.5]}, {"v": [3]}])
    assert features.keys == (
        FeatureKey("b", Kind.NUMBER),
        FeatureKey("c", Kind.BOOLEAN),
        FeatureKey("v[0]", Kind.VECTOR),
        FeatureKey("v[1]", Kind.VECTOR),
    )
    np.testing.assert_array_equal(
        features.numbers,
        [
            [1, np.nan, np.nan, np.nan],
            [np.nan, 1, np.nan, np.nan],
            [np.nan, np.nan, 1, 2.5],
            [np.nan, np.nan, 3, np.nan],
        ],
    )
    assert features.categories == {"a": ["x", None, None, None]}


def test_components_keep_their_order_beyond_nine() -> None:
    """Fails when components are sorted as texts, so that the tenth comes second."""
    features = features_from_rows([{"v": list(range(12))}])
    assert features.numbers.tolist() == [list(range(12))]
    assert [key.name for key in features.keys] == [f"v[{i}]" for i in range(12)]


def test_no_rows_and_no_features() -> None:
    """Fails when an empty request, or a row without features, cannot be a chunk of features."""
    assert features_from_rows([]).numbers.shape == (0, 0)
    assert features_from_rows([{}, {"a": None}]).numbers.shape == (2, 0)


@pytest.mark.parametrize(
    ("row", "field", "says"),
    [
        ({"a": float("inf")}, "a", "too large"),
        ({"a": 10**400}, "a", "too large"),
        ({"a": [10**400]}, "a", "too large"),
        ({"a": b"bytes"}, "a", "not a number"),
        ({"a": [{}]}, "a", "only numbers"),
        ({"a": {"b": [1, "x"]}}, "a.b", "only numbers"),
        ({"a": "x" * 70_000}, "a", "65536"),
        ({"a": ["x" * 70_000]}, "a", "65536"),
        ({"n" * 1001: 1}, "n" * 1001, "name"),
        ({"a.b": 1, "a": {"b": 1}}, "a.b", "two fields"),
        ({str(n): 1 for n in range(MAXIMUM_FEATURES + 1)}, "", "10000"),
    ],
)
def test_an_unusable_feature_is_named(row: dict[str, Any], field: str, says: str) -> None:
    """Fails when a request with a bad feature is answered, or does not learn which row and feature is to blame."""
    with pytest.raises(FeatureInvalid) as caught:
        features_from_rows([{"a": 1}, row, {"a": 2}])
    assert (caught.value.index, caught.value.field) == (1, field)
    assert says in caught.value.message


def test_a_request_is_read_by_the_models_options() -> None:
    """Fails when a prediction sees features that learning leaves out, or other kinds than learning does."""
    options = EventOptions(exclude=("skip",), features={"shop": Kind.CATEGORY})
    features = features_from_rows([{"skip": [{}], "shop": 17, "n": 1}], options)
    assert (features.keys, features.categories) == ((FeatureKey("n", Kind.NUMBER),), {"shop": ["17"]})


def test_sparse_rows_are_gathered_like_dense_ones() -> None:
    """Fails when rows that share no names lose values."""
    rows = [{f"n{row}": row} for row in range(10)]
    assert gather(rows) == {f"n{row}": [row if other == row else None for other in range(10)] for row in range(10)}


def test_compact_leaves_out_columns_without_values() -> None:
    """Fails when a column that only refused rows had comes to the learner as a new feature."""
    keys = (FeatureKey("a", Kind.NUMBER), FeatureKey("b", Kind.NUMBER))
    numbers = np.array([[np.nan, 1.0], [np.nan, np.nan]])
    features = compact(Features(2, keys, numbers, {"c": [None, None], "d": ["x", None]}, {"t": [None, None]}))
    assert features.keys == keys[1:]
    assert features.numbers.shape == (2, 1)
    assert (list(features.categories), list(features.tokens)) == (["d"], [])
