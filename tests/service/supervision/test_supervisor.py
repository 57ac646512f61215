"""What died must come back, and what is told to end must end: with real processes and real signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from service.errors import StorageFailed
from service.roster.roster import Roster
from service.supervision import added_trainers
from service.supervision import half as half_module
from service.supervision.added_trainers import AddedTrainers
from service.supervision.half import Half, start_child
from service.supervision.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for `condition`; fail where it does not come."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def run(supervisor: Supervisor) -> tuple[threading.Thread, list[int]]:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(supervisor.run()))
    thread.start()
    return thread, statuses


def test_a_half_that_is_killed_comes_back() -> None:
    """If this fails, one crash ends learning or serving until somebody notices."""
    half = Half("sleeper", [sys.executable, "-c", SLEEP])
    supervisor = Supervisor([half], shutdown_seconds=10)
    thread, statuses = run(supervisor)
    wait_until(lambda: half.pid is not None)
    first = half.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: half.pid not in (None, first))
    supervisor.stop()
    thread.join()
    assert statuses == [0]


def test_a_half_that_cannot_start_ends_all_with_its_status() -> None:
    """If this fails, a wrong configuration is tried for ever instead of being reported."""
    sleeper = Half("sleeper", [sys.executable, "-c", SLEEP])
    broken = Half("broken", [sys.executable, "-c", "raise SystemExit(2)"])
    assert Supervisor([sleeper, broken], shutdown_seconds=10).run() == 2
    assert sleeper.pid is not None
    assert not Path(f"/proc/{sleeper.pid}").exists()


def test_what_worked_once_or_is_not_essential_ends_nobody_else() -> None:
    """If this fails, wrong settings of a model that was added take the models beside it down."""
    sleeper = Half("sleeper", [sys.executable, "-c", SLEEP])
    broken = Half("broken", [sys.executable, "-c", "raise SystemExit(2)"], essential=False)
    supervisor = Supervisor([sleeper, broken], shutdown_seconds=10)
    thread, statuses = run(supervisor)
    starts: list[int] = []
    wait_until(lambda: note(starts, broken) >= 3)
    assert sleeper.pid is not None, "it was not started a second time"
    supervisor.stop()
    thread.join()
    assert statuses == [0]


def test_what_dies_over_and_over_waits_longer_and_leaves_the_spare_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, one broken model keeps the processors busy with imports, and no other has a spare any more."""
    monkeypatch.setattr(half_module, "_WORKED_AFTER", 0.0)
    taken: list[float] = []
    command = [sys.executable, "-c", "pass"]

    def spare() -> "subprocess.Popen[bytes]":
        taken.append(time.monotonic())
        return start_child(command)

    half = Half("broken", command, spare, essential=False)
    half.start()
    starts: list[int] = []
    wait_until(lambda: half.watch() is None and note(starts, half) >= 7)
    assert len(taken) == 5, "the first start, and after each of four deaths in a row; then no more"
    half.end()
    half.wait(time.monotonic() + 10)


def note(starts: list[int], half: Half) -> int:
    """Note a start, and return how many there were."""
    if half.pid is not None and half.pid not in starts:
        starts.append(half.pid)
    return len(starts)


class Models:
    """Stands for the roster."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.broken = False

    def wanted(self) -> set[str]:
        if self.broken:
            raise StorageFailed("the disk is gone")
        return self.names


def test_trainers_come_and_go_with_the_models_that_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an added model is never learned, a removed one for ever, or a full disk ends all of them."""
    monkeypatch.setattr(added_trainers, "_EVERY", 0.0)
    models, made = Models(), dict[str, Half]()

    def make(name: str) -> Half:
        made[name] = Half(name, [sys.executable, "-c", SLEEP], essential=False)
        return made[name]

    added = AddedTrainers(cast(Roster, models), make, patience=0.5)
    sleeper = Half("sleeper", [sys.executable, "-c", SLEEP])
    supervisor = Supervisor([sleeper], shutdown_seconds=10, added=added)
    thread, statuses = run(supervisor)
    models.names = {"shop", "other"}
    wait_until(lambda: made.keys() == {"shop", "other"} and all(half.pid for half in made.values()))
    pids = {name: half.pid for name, half in made.items()}
    if sys.platform == "linux":
        scores = {pid: int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (*pids.values(), sleeper.pid)}
        assert all(scores[pid] > scores[sleeper.pid] for pid in pids.values()), "who asks for too much goes first"
    models.broken = True
    models.names = {"other"}
    time.sleep(0.2)
    assert {half.name for half in added.halves} == {"shop", "other"}, "nobody knows that it is not wanted any more"
    models.broken = False
    wait_until(lambda: not Path(f"/proc/{pids['shop']}").exists())
    wait_until(lambda: [half.name for half in added.halves] == ["other"])
    assert made["other"].pid == pids["other"]
    supervisor.stop()
    thread.join()
    assert statuses == [0]
    assert not Path(f"/proc/{pids['other']}").exists()


def test_ending_is_graceful_and_bounded(tmp_path: Path) -> None:
    """If this fails, a stop loses the last checkpoint, or hangs on a half that does not listen."""
    polite = (
        "import signal, sys, time, pathlib\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(tmp_path / 'done')!r}).touch(), sys.exit(0)))\n"
        f"pathlib.Path({str(tmp_path / 'polite')!r}).touch()\n" + SLEEP
    )
    deaf = (
        "import signal, time, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch()\n" + SLEEP
    )
    halves = [Half("polite", [sys.executable, "-c", polite]), Half("deaf", [sys.executable, "-c", deaf])]
    supervisor = Supervisor(halves, shutdown_seconds=1)
    thread, statuses = run(supervisor)
    wait_until(lambda: (tmp_path / "polite").exists() and (tmp_path / "deaf").exists())
    supervisor.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert (tmp_path / "done").exists()
    assert statuses == [0]
