"""Who answers which request is even over ids, and the same for the same id wherever it is asked."""

import numpy as np

from service.rest.arms import keys_of

ROW = {"price": 3.2, "city": "Oslo"}


def test_keys_are_even_and_belong_to_the_id_alone() -> None:
    """A share of a tenth would be another one, or an id would meet now this learner, now that one."""
    rows, ids = [ROW] * 20_000, [f"a{number}" for number in range(20_000)]
    keys = np.array(keys_of("default", rows, ids), np.uint64).astype(float) / 2**64
    shares, _ = np.histogram(keys, 10, (0, 1))
    assert np.abs(shares / 20_000 - 0.1).max() < 0.012
    assert keys_of("default", [{}], ["a7"]) == keys_of("default", [ROW], ["a7"])
    assert keys_of("default", [{}], ["7"]) != keys_of("default", [{}], [7])
    other = np.array(keys_of("other", rows, ids), np.uint64).astype(float) / 2**64
    assert abs(np.corrcoef(keys, other)[0, 1]) < 0.03, "two experiments would hang together"


def test_without_an_id_the_features_decide_whatever_their_order() -> None:
    """The same question would be answered by another learner each time."""
    turned = dict(reversed(ROW.items()))
    assert keys_of("default", [ROW], [None]) == keys_of("default", [turned], [None]) == keys_of("default", [ROW])
    assert keys_of("default", [ROW]) != keys_of("default", [{**ROW, "price": 3.3}])
    # Two processes of one server must agree: no hash that Python salts anew.
    assert keys_of("default", [ROW], ["a1"]) == [13056096657849109735]
