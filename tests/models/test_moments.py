"""Moments of numbers: the same to the last bit, however values and moments lie in memory."""

import numpy as np
import pytest

from models.moments import add_values, new_moments


@pytest.mark.parametrize("order", ["C", "F"])
def test_moments_do_not_depend_on_how_they_lie_in_memory(order: str) -> None:
    """A restart joins columns in another order; the same version would then stand for other parameters."""
    random = np.random.default_rng(1)
    rows, columns = new_moments(4), np.asfortranarray(new_moments(4))
    for _ in range(20):
        values = random.normal(5.0, 2.0, (33, 4))
        values[random.random(values.shape) < 0.1] = np.nan
        for moments in (rows, columns):
            add_values(moments, np.array(values, order=order), gaps=True)  # type: ignore[call-overload] # it is one
    assert rows.tobytes() == np.ascontiguousarray(columns).tobytes()
