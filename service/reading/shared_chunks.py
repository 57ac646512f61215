"""Messages from a reading program to the trainer: large columns in memory that both map, the rest through the socket.

On the path it stands between ``ingest_process.py`` and ``ingest_programs.py``. A column of a megabyte would be copied
four times on its way through a pickle and a socket; here it is written once, into a file that is nowhere but in memory,
whose descriptor goes over the socket and which is gone with the last array that lies in it. (``SharedMemory`` is no
good for this: a process that exits unlinks what others still use.) Without such files, all goes over the socket.
"""

import mmap
import os
import pickle
import socket
import weakref
from multiprocessing.connection import Connection
from typing import Any

LEAST = 256 * 1024
"""Bytes of an array from which mapping it costs less than copying it."""

MOST_MAPPED = 64
"""Files that are mapped at a time: each holds a descriptor as long as an array lies in it. Others are copied out."""

_APART = 64
"""Bytes of which each array begins at a multiple: a line of the processor's cache."""

_alive: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()

_MAPPED = b"\0"
"""First byte of what says that a descriptor follows; a pickle begins otherwise."""


def send(connection: Connection, message: object) -> int:
    """Send a message; return how many bytes of it are in memory that both map.

    Raises
    ------
    OSError
        Nobody listens any more.
    """
    large: list[memoryview] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < LEAST:
            return True
        large.append(view)
        return False

    content = pickle.dumps(message, protocol=5, buffer_callback=in_band if hasattr(os, "memfd_create") else None)
    if not large:
        connection.send_bytes(content)
        return 0
    sizes = [view.nbytes for view in large]
    file = os.memfd_create("headrace-chunk", os.MFD_CLOEXEC)
    try:
        for start, view in zip(_starts(sizes), large, strict=False):
            _write(file, view, start)
        os.ftruncate(file, _starts(sizes)[-1])
        connection.send_bytes(_MAPPED + pickle.dumps(sizes))
        with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end:
            socket.send_fds(end, [_MAPPED], [file])
        connection.send_bytes(content)
    finally:
        os.close(file)
    return sum(sizes)


def receive(connection: Connection) -> tuple[Any, int]:
    """Return the next message, and how many bytes of it are in memory that both map.

    It is unpickled: the other end must be a program that was started here.

    Raises
    ------
    EOFError, OSError
        The other end is gone.
    """
    content = connection.recv_bytes()
    if content[:1] != _MAPPED:
        return pickle.loads(content), 0  # noqa: S301 -- see above
    sizes = pickle.loads(content[1:])  # noqa: S301 -- see above
    with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end:
        mark, files, _, _ = socket.recv_fds(end, 1, 1)
    if not mark or not files:
        raise EOFError
    *starts, length = _starts(sizes)
    mapped = _map(files[0], length)
    buffers = [mapped[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return pickle.loads(connection.recv_bytes(), buffers=buffers), sum(sizes)  # noqa: S301 -- see above


def _map(file: int, length: int) -> memoryview:
    """Return what a file in memory holds, and close it."""
    try:
        mapped = mmap.mmap(file, length, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(file)
    if len(_alive) < MOST_MAPPED:
        _alive.add(mapped)
        return memoryview(mapped)
    with mapped:
        return memoryview(bytearray(mapped))


def _starts(sizes: list[int]) -> list[int]:
    """Return where each of some arrays begins, and where the last ends."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // _APART) * _APART)
    return starts


def _write(file: int, view: memoryview, start: int) -> None:
    written = 0
    while written < view.nbytes:
        written += os.pwrite(file, view[written:], start + written)
