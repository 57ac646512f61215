"""A reading program gives large pieces back, whatever small things were made meanwhile; a trainer keeps them."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from service.reading.steady_memory import keep_memory_steady

if sys.argv[1] == "steady":
    keep_memory_steady()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


bytearray(30 * 2**20)  # glibc then takes pieces up to this size from its heap
before, large, small = resident(), [], []
for _ in range(200):
    large.append(bytearray(b"x" * 2**20))
    small.append(bytearray(2000))
del large
print((resident() - before) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is asked")
def test_large_pieces_go_back_though_small_ones_stay() -> None:
    """A reading program would stay as large as in its busiest minute, and grow with each one."""
    found = subprocess.run([sys.executable, "-c", PROGRAM, "steady"], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 5, f"{found.stdout.strip()} of 200 MiB stayed"


AGAIN = """
import resource
import sys
from service.reading.steady_memory import keep_memory_at_hand

if sys.argv[1] == "kept":
    keep_memory_at_hand()
piece = b"x" * (10 * 2**20)


def take() -> None:
    columns = [bytearray(piece) for _ in range(4)]
    del columns


take()  # glibc then takes pieces of this size from its heap, and gives back what is more than two of them
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is asked")
def test_what_is_taken_again_and_again_is_kept() -> None:
    """A trainer would take each page of each update's columns anew from the system, a fault for each."""
    found = subprocess.run([sys.executable, "-c", AGAIN, "kept"], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 4 * 10 * 2**20 // 4096, f"{found.stdout.strip()} pages were taken anew in twenty turns"
