"""Ownership: one trainer at a time, whatever happens to the one before."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.durability import lease as lease_module
from service.durability import machine
from service.durability.lease import Lease
from service.durability.machine import Process, boot_id
from service.errors import OwnershipLost

FOREVER = 3600.0
REPOSITORY = Path(__file__).parents[3]

OWNER = """
import sys, time
from pathlib import Path
from service.errors import OwnershipLost
from service.durability.lease import Lease
lease = Lease.acquire(Path(sys.argv[1]), lease_seconds=float(sys.argv[2]))
print(lease.epoch, flush=True)
try:
    while True:
        lease.check()
        time.sleep(0.01)
except OwnershipLost:
    print("lost", flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a process which prints its epoch and, when it is no owner any more, "lost"."""
    processes: list[subprocess.Popen[str]] = []

    def begin(lease_seconds: float = FOREVER) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OWNER, str(tmp_path), str(lease_seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a child prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def acquire(folder: Path, lease_seconds: float = FOREVER) -> Lease:
    lease = Lease.acquire(folder, lease_seconds=lease_seconds)
    assert lease is not None
    return lease


def write_claim(folder: Path, epoch: int, process: Process, *, released: bool = False) -> None:
    claim = {
        "beat": 0,
        "released": released,
        "process": {name: getattr(process, name) for name in Process.__dataclass_fields__},
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{epoch:06d}").write_text(json.dumps(claim))


def test_first_claim(tmp_path: Path) -> None:
    """A fresh directory could not be owned."""
    lease = acquire(tmp_path / "model" / "lease")
    assert lease.epoch == 1
    lease.check()
    lease.release()


def test_a_claim_is_above_what_is_still_published(tmp_path: Path) -> None:
    """After the model's folder was moved away or restored, servers would answer for ever from the model before."""
    first = acquire(tmp_path)
    second = Lease.acquire(tmp_path, lease_seconds=0.2, at_least=8)
    assert second is not None
    assert second.epoch == 8
    second.check()
    with pytest.raises(OwnershipLost):
        first.check()
    second.release()
    third = Lease.acquire(tmp_path, lease_seconds=0.2, at_least=8)
    assert third is not None
    assert third.epoch == 9
    third.release()
    first.release()


def test_release_lets_the_next_in_at_once(tmp_path: Path) -> None:
    """A clean restart would wait for the lease to run out."""
    first = acquire(tmp_path)
    first.release()
    first.release()
    second = acquire(tmp_path)
    assert second.epoch == 2
    with pytest.raises(OwnershipLost):
        first.check()
    second.release()


def test_released_lease_no_longer_permits(tmp_path: Path) -> None:
    """Something written after the release could meet the next owner's."""
    lease = acquire(tmp_path)
    lease.release()
    with pytest.raises(OwnershipLost, match="released"):
        lease.check()


def test_killed_owner_is_replaced_at_once(tmp_path: Path, start: Start) -> None:
    """A crash would stop learning for the length of the lease."""
    owner = start()
    assert line(owner) == "1"
    owner.kill()  # and not waited for: a zombie is as dead as can be
    lease = acquire(tmp_path)
    assert lease.epoch == 2
    lease.release()


def test_frozen_owner_is_replaced_and_finds_out(tmp_path: Path, start: Start) -> None:
    """A trainer that was stopped and thawed would write beside its successor."""
    owner = start(1.0)
    assert line(owner) == "1"
    owner.send_signal(signal.SIGSTOP)
    waited: list[str] = []
    lease = Lease.acquire(tmp_path, lease_seconds=1.0, on_wait=waited.append)
    assert lease is not None
    assert lease.epoch == 2
    assert len(waited) == 1
    assert f"process {owner.pid}" in waited[0]
    owner.send_signal(signal.SIGCONT)
    assert line(owner) == "lost"
    lease.check()
    lease.release()


def test_living_owner_stays(tmp_path: Path, start: Start) -> None:
    """Trainers would take the model from each other for no reason."""
    owner = start(1.0)
    assert line(owner) == "1"
    stop = threading.Event()
    timer = threading.Timer(2.5, stop.set)
    timer.start()
    assert Lease.acquire(tmp_path, lease_seconds=1.0, stop=stop) is None
    timer.join()
    assert owner.poll() is None


def test_racing_standbys_win_one_epoch_each(tmp_path: Path, start: Start) -> None:
    """Two trainers would own one model at the same time."""
    owner = start()
    assert line(owner) == "1"
    standbys = [start() for _ in range(3)]
    won = []
    while standbys:
        time.sleep(0.5)
        owner.kill()
        deadline = time.monotonic() + 30
        owners: list[subprocess.Popen[str]] = []
        while not owners and time.monotonic() < deadline:
            names = sorted(path.name for path in tmp_path.iterdir())
            holder = json.loads((tmp_path / names[-1]).read_text().strip() or "{}").get("process", {}).get("pid")
            owners = [process for process in standbys if process.pid == holder]
            time.sleep(0.01)
        owner = owners[0]
        standbys.remove(owner)
        won.append(line(owner))
        assert all(process.poll() is None for process in standbys)
    assert won == ["2", "3", "4"]


def test_reused_process_number_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    """After a restart of a container its first process has the owner's number, and would wait for itself."""
    here = Process.current()
    write_claim(tmp_path, 1, Process(here.host, here.boot, here.namespace, here.pid, "1"))
    lease = acquire(tmp_path)
    assert lease.epoch == 2
    lease.release()


@pytest.mark.parametrize("other", ["host", "boot", "namespace"])
def test_nothing_is_concluded_about_processes_elsewhere(other: str) -> None:
    """A trainer in another container or machine would be taken for dead because its number means nothing here."""
    here = Process.current()
    fields = {name: getattr(here, name) for name in Process.__dataclass_fields__} | {"pid": 2**22, other: "elsewhere"}
    assert not Process(**fields).is_gone()


def test_current_process_is_not_gone() -> None:
    """Every owner would be taken over at once."""
    assert not Process.current().is_gone()


def test_without_proc_the_counter_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """On macOS a dead trainer would never be replaced, or a living one at once."""
    monkeypatch.setattr(machine, "_PROC", tmp_path / "nowhere")
    boot_id.cache_clear()
    try:
        assert not Process.current().is_gone()
        owner = start(0.5)
        assert line(owner) == "1"
        owner.kill()
        before = time.monotonic()
        lease = acquire(tmp_path, 0.5)
        assert lease.epoch == 2
        assert time.monotonic() - before >= 0.4
        lease.release()
    finally:
        boot_id.cache_clear()


def test_claim_without_content_runs_out(tmp_path: Path) -> None:
    """A process killed between making its claim and writing it would block the model for ever."""
    (tmp_path / "000001").touch()
    lease = acquire(tmp_path, 0.3)
    assert lease.epoch == 2
    lease.release()


def test_own_standstill_is_not_held_against_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause of the whole machine every stand-by would take over from a living owner."""
    now = [0.0]
    monkeypatch.setattr("service.durability.lease.time.monotonic", lambda: now[0])
    (tmp_path / "000001").write_text("{}")
    watch = lease_module._Watch(tmp_path, 3.0)
    assert not watch.is_free(1)
    now[0] = 1000.0
    assert not watch.is_free(1)
    for _ in range(40):
        now[0] += watch.interval
        free = watch.is_free(1)
    assert free


def test_a_claim_is_made_once(tmp_path: Path) -> None:
    """Two stand-bys that see an owner die at the same moment would both take over."""
    descriptor = lease_module._claim(tmp_path, 1)
    assert descriptor is not None
    assert lease_module._claim(tmp_path, 1) is None
    os.close(descriptor)


def test_old_claims_are_cleared_and_their_owners_find_out(tmp_path: Path) -> None:
    """The folder would grow for ever; or an owner that slept very long would believe that it still is one."""
    first = acquire(tmp_path)
    here = Process.current()
    for epoch in range(2, 40):
        write_claim(tmp_path, epoch, here, released=True)
    last = acquire(tmp_path)
    assert last.epoch == 40
    assert len(list(tmp_path.iterdir())) == 16
    with pytest.raises(OwnershipLost):
        first.check()
    # A stand-by that slept on an old listing claims a number that was cleared away.
    assert lease_module._claim(tmp_path, 2) is None
    last.check()
    first.release()
    last.release()


def test_heartbeat_survives_a_refusing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed write would end the heartbeat, and with it the ownership."""
    lease = acquire(tmp_path, 0.1)
    original, refused = os.pwrite, threading.Event()

    def refuse(*_: object) -> int:
        refused.set()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert refused.wait(10)
    monkeypatch.setattr(os, "pwrite", original)
    before = (tmp_path / "000001").read_bytes()
    deadline = time.monotonic() + 10
    while (tmp_path / "000001").read_bytes() == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()
