"""Segments of arrays that never change are written once."""

from pathlib import Path
from unittest.mock import patch

import numpy as np

from service.durability.files import Files
from service.durability.segments import LASTING, SegmentStore


def test_what_cannot_change_is_written_once_for_many_series(tmp_path: Path) -> None:
    """Each checkpoint would read, hash and every few times write a million spilled keys again."""
    store = SegmentStore(tmp_path, Files())
    constant = np.arange(5.0)
    constant.flags.writeable = False
    first = store.save({"rows": constant}, 1, 0)
    with patch("service.durability.segments._serialized", side_effect=AssertionError("read again")):
        assert store.save({"rows": constant}, 1, LASTING - 1) == first
    assert store.save({"rows": constant}, 1, LASTING) != first, "one file that rots would take all checkpoints with it"
    assert store.save({"rows": constant}, 2, LASTING).path.startswith("000002/"), "a successor relies on its own files"


def test_what_is_gone_is_written_again(tmp_path: Path) -> None:
    """A manifest would name a file that is not there."""
    store = SegmentStore(tmp_path, Files())
    constant = np.arange(5.0)
    constant.flags.writeable = False
    first = store.save({"rows": constant}, 1, 0)
    (tmp_path / first.path).unlink()
    again = store.save({"rows": constant}, 1, 0)
    np.testing.assert_array_equal(store.load(again)["rows"], constant)


def test_what_may_change_is_read_each_time(tmp_path: Path) -> None:
    """A checkpoint would hold what an array was, not what it is."""
    store = SegmentStore(tmp_path, Files())
    array = np.arange(5.0)
    store.save({"rows": array}, 1, 0)
    array[0] = 7
    assert store.load(store.save({"rows": array}, 1, 0))["rows"][0] == 7
