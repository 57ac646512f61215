"""A trainer that dies is replaced by one that has imported everything: with real processes and real signals."""

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from service.exit_statuses import DEVICE_LOST
from service.supervision.half import Half
from service.supervision.spares import Spares
from service.supervision.supervisor import Supervisor
from tests.service.supervision.test_supervisor import SLEEP, run, wait_until

WAITING = (
    "import pathlib, sys, time\nname = sys.stdin.readline().strip()\nif name: pathlib.Path(sys.argv[1], name).touch()\n"
)


def spare_command(folder: Path, then: str = SLEEP) -> list[str]:
    """Return a program that notes down whose place it took, and goes on as `then`."""
    return [sys.executable, "-c", f"{WAITING}if name:\n exec({then!r})", str(folder)]


def end(supervisor: Supervisor, thread: threading.Thread) -> None:
    """End it in order."""
    supervisor.stop()
    thread.join(20)
    assert not thread.is_alive()


def is_now(half: Half, pid: int | None) -> bool:
    return half.pid == pid


def gone(spares: Spares) -> bool:
    spares.watch()
    return spares.pid is None


def kill(half: Half) -> int:
    """Kill a half that has been at work; return its process number."""
    pid = half.pid
    assert pid is not None
    half._started -= 10
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_spare_takes_the_place_of_what_died_and_another_one_is_kept(tmp_path: Path) -> None:
    """If this fails, a trainer that died imports for seconds before it learns again."""
    spares = Spares(spare_command(tmp_path), first_after=0, next_after=0)
    halves = [Half(name, [sys.executable, "-c", SLEEP], partial(spares.take, name)) for name in ("one", "two")]
    supervisor = Supervisor(halves, 10, spares)
    thread, statuses = run(supervisor)
    wait_until(lambda: all(half.pid for half in halves))
    for half in (halves[0], halves[1], halves[0]):
        wait_until(lambda: spares.pid is not None)
        spare = spares.pid
        kill(half)
        wait_until(partial(is_now, half, spare))
        wait_until((tmp_path / half.name).exists)
        (tmp_path / half.name).unlink()
    wait_until(lambda: spares.pid is not None)
    last = spares.pid
    end(supervisor, thread)
    assert statuses == [0]
    assert [pid for pid in (last, *(half.pid for half in halves)) if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == [], "the last spare took a place when all was ending"


def test_what_dies_at_once_is_not_given_one_spare_after_the_other(tmp_path: Path) -> None:
    """If this fails, a trainer that cannot recover keeps the machine busy with importing."""
    spares = Spares(spare_command(tmp_path), first_after=0, next_after=0)
    half = Half("one", [sys.executable, "-c", SLEEP], lambda: spares.take("one"))
    half.start()
    spares.watch()
    assert spares.pid is not None
    assert half.pid is not None
    os.kill(half.pid, signal.SIGKILL)
    wait_until(lambda: half.watch() is None and half.pid is None)
    assert spares.pid is not None
    spares.end()
    spares.wait(0)


def test_a_spare_that_dies_is_replaced_later_and_never_handed_over(tmp_path: Path) -> None:
    """If this fails, a dead process counts as the trainer."""
    spares = Spares(spare_command(tmp_path), first_after=0, next_after=0)
    spares.watch()
    spare = spares.pid
    assert spare is not None
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{spare}/stat").read_text().split()[2] == "Z")
    assert spares.take("one") is None
    spares.watch()
    spare = spares.pid
    assert spare is not None
    os.kill(spare, signal.SIGKILL)
    wait_until(partial(gone, spares))
    spares.watch()
    assert spares.pid is None, "it is started again in the same instant in which it died"


def test_a_half_that_asks_for_it_is_started_again_at_once(tmp_path: Path) -> None:
    """If this fails, a trainer whose device is lost to it waits longer each time."""
    half = Half("one", [sys.executable, "-c", f"import time; time.sleep(1.2); raise SystemExit({DEVICE_LOST})"])
    half.start()
    first = half.pid
    wait_until(lambda: half.watch() is None and half.pid != first)
    assert half.pid is not None
    half.end()
    half.wait(0)
