"""The checksum of events: what lets anybody compare what was learned with what the log holds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumers.track import Track
from tests.support.checksums import checksum_of

PLACES = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**62), st.integers(0, 2**31 - 1)), max_size=40)


def track(places: list[tuple[int, int, int]]) -> Track:
    columns = np.array(places, np.int64).reshape(-1, 3)
    nothing = np.zeros(len(places), np.int64)
    return Track(
        columns[:, 0].astype(np.int32), columns[:, 1], columns[:, 2].astype(np.int32), nothing.astype(np.int32), nothing
    )


def test_the_checksum_stays_what_it_is() -> None:
    """If this fails, checkpoints of before say something else than new ones."""
    assert track([(3, 1200, 0)]).checksum() == 0xCE07A22E9C4D9F07


@given(PLACES)
def test_order_and_cuts_do_not_matter_but_every_event_does(places: list[tuple[int, int, int]]) -> None:
    """If this fails, two correct runs differ, a lost event goes unseen, or the documentation tells another sum."""
    whole = track(places)
    assert whole.checksum() == checksum_of(places)
    shuffled = whole.take(np.random.default_rng(len(places)).permutation(len(places)))
    assert shuffled.checksum() == whole.checksum()
    cut = len(places) // 3
    assert (whole.take(slice(0, cut)).checksum() + whole.take(slice(cut, None)).checksum()) % 2**64 == whole.checksum()
    if places:
        assert whole.take(slice(1, None)).checksum() != whole.checksum()
