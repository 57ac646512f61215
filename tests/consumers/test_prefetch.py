"""The hand-over between the thread that reads and the thread that learns."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from consumers.errors import PositionLost
from consumers.microbatch import Decoded
from consumers.prefetch import Prefetcher
from tests.support.chunks import Numbers, decoded


@pytest.fixture
def prefetcher() -> Prefetcher[Numbers]:
    return Prefetcher(max_rows=4, max_bytes=1_000)


@pytest.fixture
def beside() -> Iterator[Callable[..., "Future[object]"]]:
    """Return a function that calls another one in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def test_chunks_come_in_order(prefetcher: Prefetcher[Numbers]) -> None:
    """Else events of a partition are learned out of order."""
    chunks = [decoded(number) for number in range(4)]
    assert all(prefetcher.put(chunk) for chunk in chunks)
    assert [prefetcher.take(0.0) for _ in range(5)] == [*chunks, None]


@pytest.mark.parametrize(("bounds", "fits"), [({"max_rows": 3}, 3), ({"max_bytes": 25}, 2)])
def test_rows_and_bytes_are_bounded(bounds: dict[str, int], fits: int) -> None:
    """Else a slow learner lets memory grow without end."""
    prefetcher: Prefetcher[Numbers] = Prefetcher(**{"max_rows": 100, "max_bytes": 1000, **bounds})
    accepted = [prefetcher.put(decoded(number), timeout=0.0) for number in range(5)]
    assert accepted == [number < fits for number in range(5)]
    assert prefetcher.take(0.0) is not None
    assert prefetcher.put(decoded(9), timeout=0.0)


def test_a_chunk_beyond_the_bounds_goes_alone(prefetcher: Prefetcher[Numbers]) -> None:
    """Else one large message stops the stream for ever."""
    large = decoded(*range(50))
    assert prefetcher.put(large, timeout=0.0)
    assert not prefetcher.put(decoded(50), timeout=0.0)
    assert prefetcher.take(0.0) is large


def test_chunks_without_rows_are_bounded_too(prefetcher: Prefetcher[Numbers]) -> None:
    """Else a stream of unusable messages fills the memory."""
    assert [prefetcher.put(decoded(positions={}), timeout=0.0) for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_waiting_take_is_woken_by_a_put(
    prefetcher: Prefetcher[Numbers], beside: Callable[..., "Future[object]"]
) -> None:
    """Else each event waits for a timeout to pass."""
    taken = beside(prefetcher.take, 60.0)
    prefetcher.put(decoded(1))
    assert isinstance(taken.result(30.0), Decoded)


def test_a_waiting_put_is_woken_by_a_take(
    prefetcher: Prefetcher[Numbers], beside: Callable[..., "Future[object]"]
) -> None:
    """Else reading stops for good once learning has lagged."""
    prefetcher.put(decoded(1, 2, 3, 4))
    put = beside(prefetcher.put, decoded(5))
    assert prefetcher.take(0.0) is not None
    assert put.result(30.0) is True


def test_an_error_comes_after_what_was_put_before_it(prefetcher: Prefetcher[Numbers]) -> None:
    """Else events read before an error are lost, or the error goes unnoticed."""
    chunk = decoded(1)
    prefetcher.put(chunk)
    prefetcher.fail(PositionLost("gone"))
    assert prefetcher.take(0.0) is chunk
    for _ in range(2):
        with pytest.raises(PositionLost, match="gone"):
            prefetcher.take(60.0)


def test_closing_lets_both_sides_go(prefetcher: Prefetcher[Numbers], beside: Callable[..., "Future[object]"]) -> None:
    """Else a shutdown hangs."""
    prefetcher.put(decoded(1, 2, 3, 4))
    put = beside(prefetcher.put, decoded(5))
    time.sleep(0.02)
    prefetcher.close()
    prefetcher.close()
    assert put.result(30.0) is False
    assert prefetcher.closed
    assert prefetcher.take(60.0) is not None
    assert prefetcher.take(60.0) is None


def test_nothing_is_lost_between_two_busy_threads() -> None:
    """Else a race in the hand-over loses events once in a while."""
    prefetcher: Prefetcher[Numbers] = Prefetcher(max_rows=7, max_bytes=10_000)

    def put_all() -> None:
        for number in range(5_000):
            prefetcher.put(decoded(number))

    thread = threading.Thread(target=put_all)
    thread.start()
    taken = [prefetcher.take(30.0) for _ in range(5_000)]
    thread.join()
    assert [each.chunk.values[0] for each in taken if each is not None] == list(range(5_000))
    assert prefetcher.rows == 0
