"""What goes from a reading program to the trainer arrives as it was, large columns without passing the socket."""

import gc
import os
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.reading import shared_chunks
from service.reading.shared_chunks import LEAST, receive, send


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def passed(ends: tuple[Connection, Connection], message: object) -> tuple[Any, int]:
    """Send from a thread, for a pipe holds little, and receive."""
    sent: list[int] = []
    thread = threading.Thread(target=lambda: sent.append(send(ends[0], message)))
    thread.start()
    found, mapped = receive(ends[1])
    thread.join()
    assert sent == [mapped]
    return found, mapped


def test_messages_arrive_as_they_were(ends: tuple[Connection, Connection]) -> None:
    """Fails when arrays come out of their neighbours' bytes, or cannot be used like others."""
    random = np.random.default_rng(0)
    large = [random.normal(size=(size, 7)) for size in (LEAST // 7, LEAST, 12_345)]
    message = {"small": np.arange(10), "large": large, "text": ["ä"] * 5}
    found, mapped = passed(ends, message)
    assert mapped == sum(each.nbytes for each in large)
    assert found["text"] == message["text"]
    assert found["small"].tolist() == list(range(10))
    for number, expected in enumerate(large):
        assert found["large"][number].tobytes() == expected.tobytes()
        found["large"][number] += 1.0
    kept = found["large"][1][5:6]
    del found
    assert kept.tolist() == (large[1][5:6] + 1.0).tolist()


def test_what_lives_long_holds_few_descriptors(
    ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a trainer that remembers wide events runs out of descriptors."""
    monkeypatch.setattr(shared_chunks, "MOST_MAPPED", 2)
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [passed(ends, np.full(LEAST, number))[0] for number in range(6)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert [int(each[-1]) for each in kept] == list(range(6))


def test_small_messages_and_large_ones_keep_their_order(ends: tuple[Connection, Connection]) -> None:
    """Fails when what goes over the socket is taken for what belongs to a mapped message."""
    for number in range(5):
        found, _ = passed(ends, (number, np.full(LEAST * (number % 2), number)))
        assert found[0] == number
        assert (found[1] == number).all()


def test_without_such_files_all_goes_through_the_socket(
    ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a system without files in memory cannot read in a process."""
    monkeypatch.delattr(os, "memfd_create")
    found, mapped = passed(ends, np.arange(LEAST))
    assert (found.tolist(), mapped) == (list(range(LEAST)), 0)


def test_a_sender_that_is_gone_is_noticed(ends: tuple[Connection, Connection]) -> None:
    """Fails when the death of a reading program in mid-message stops the trainer for good."""
    ends[0].send_bytes(b"\0" + b"\x80\x04]\x94M\x10'a.")
    ends[0].close()
    with pytest.raises(EOFError):
        receive(ends[1])
