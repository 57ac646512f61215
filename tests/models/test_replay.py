"""The ring of recent rows gives back the rows that it was given, their strings with them, and no older ones."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.features import Sparse
from models.replay import CAPACITY, Replay

CPU = torch.device("cpu")


def rows(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Sparse]:
    """Return rows numbered from `first`: row n has n % 3 strings, at places from 10 n."""
    names = np.arange(first, first + count)
    counts = names % 3
    starts = np.concatenate([[0], counts.cumsum()])
    places = np.concatenate([10 * name + np.arange(length) for name, length in zip(names, counts, strict=True)])
    numbers = torch.from_numpy(names)
    return numbers[:, None].float(), numbers, numbers / 2.0, Sparse(places, np.ones(len(places), np.float32), starts)


def held(replay: Replay) -> NDArray[np.int64]:
    """Return the numbers of the rows in the ring."""
    return np.sort(replay.targets[: len(replay)].numpy())


def test_it_holds_the_most_recent_rows() -> None:
    """Rows from long ago would be learned again, and recent ones not."""
    replay = Replay(CPU, torch.int64)
    for first in range(0, 10_000, 500):
        replay.add(*rows(first, 500))
        expected = np.arange(max(0, first + 500 - CAPACITY), first + 500)
        np.testing.assert_array_equal(held(replay), expected)


def test_a_microbatch_larger_than_the_ring_leaves_its_end() -> None:
    """A large microbatch would write beyond the ring, or leave its beginning."""
    replay = Replay(CPU, torch.int64)
    replay.add(*rows(0, 100))
    replay.add(*rows(100, CAPACITY + 700))
    np.testing.assert_array_equal(held(replay), np.arange(800, CAPACITY + 800))
    check_strings(replay)


def test_strings_stay_with_their_rows() -> None:
    """A row would be learned again with another row's strings."""
    replay = Replay(CPU, torch.int64)
    for first in range(0, 3 * CAPACITY, 700):
        replay.add(*rows(first, 700))
        check_strings(replay)


def check_strings(replay: Replay) -> None:
    """Fail unless each row has the places that its number says."""
    picked = np.random.default_rng(0).integers(0, len(replay), 50)
    found = replay.sparse(picked)
    for place, row in enumerate(picked.tolist()):
        name = int(replay.targets[row])
        own = found.places[found.starts[place] : found.starts[place + 1]].tolist()
        assert own == [10 * name + number for number in range(name % 3)]


def test_new_columns_are_zero_in_earlier_rows() -> None:
    """A feature that appears would take the ring's rows for its own."""
    replay = Replay(CPU, torch.int64)
    replay.add(*rows(0, 10))
    dense, targets, weights, sparse = rows(10, 10)
    replay.add(torch.cat([dense, dense], 1), targets, weights, sparse)
    assert replay.dense.shape == (CAPACITY, 2)
    assert not replay.dense[:10, 1].any()
    assert replay.dense[10:20, 1].tolist() == list(range(10, 20))
