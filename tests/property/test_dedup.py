"""Duplicates are those of the definition, however the stream is cut and whenever the window was saved and restored."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.learning.dedup import DedupWindow

NAMES = st.lists(st.integers(0, 12), max_size=80)


def digests(names: list[int]) -> np.ndarray:
    """Return ids of events: 0 has none; second words are shared."""
    return np.array([(name, name // 2 + 1) if name else (0, 0) for name in names], np.uint64).reshape(-1, 2)


def expected(names: list[int], window: int) -> list[bool]:
    """Return which events have the id of one of the `window` events with an id before them."""
    found: list[bool] = []
    named: list[int] = []
    for name in names:
        found.append(bool(name) and name in named[-window:])
        named += [name] if name else []
    return found


@settings(deadline=None)
@given(NAMES, st.integers(1, 20), st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=12))
def test_every_id_is_met_once_within_the_window(names: list[int], window: int, cuts: list[tuple[int, bool]]) -> None:
    """An event would be learned twice, or a new one would be thrown away, where a microbatch happens to end."""
    made, found, start = DedupWindow(window), [], 0
    for stop, killed in [*sorted(cuts), (len(names), False)]:
        ids = digests(names[start : max(start, stop)])
        found += made.duplicates(ids).tolist()
        saved = made.state()
        made.add(ids)
        if killed:  # after learning, before anything was saved: the journal has the same rows learned again
            made = DedupWindow(window)
            made.restore(saved)
            made.add(ids)
        start = max(start, stop)
    assert found == expected(names, window)


@settings(deadline=None)
@given(NAMES, NAMES, st.integers(1, 20), st.integers(1, 20))
def test_a_window_of_another_length_keeps_what_it_can(before: list[int], after: list[int], old: int, new: int) -> None:
    """A change of the configuration would forget all ids, or remember wrong ones."""
    made, changed = DedupWindow(old), DedupWindow(new)
    made.add(digests(before))
    changed.restore(made.state())
    named = [name for name in before if name][-min(old, new) :]
    assert changed.duplicates(digests(after)).tolist() == expected(named + after, new)[len(named) :]
