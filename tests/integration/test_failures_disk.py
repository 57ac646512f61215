"""A disk that really fills up, and one whose ``fsync`` fails, under real processes."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from consumers.log import LogSink
from consumers.source import NewRecord
from service.config import load_settings
from service.monitoring.status import Status, read_status
from service.wiring import make_source
from tests.support.checksums import checksum_of_single
from tests.support.processes import Installation, installation, total_learned
from tests.support.training import events, learned, open_model, running

MODEL = {
    "learner": {"kind": "linear", "device": "cpu"},
    "microbatch": {"max_size": 64, "max_delay_ms": 20},
    "checkpoint": {"every_seconds": 0.5},
}

QUERY = {"features": {"x": 0.4, "y": -0.1, "city": "Oslo"}}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 128 MiB, for up to three publications of 25 MiB, or skip where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system takes rights that this user has not")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(disk: Path) -> Path:
    """Leave no room at all; return the file that takes it."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filler


def send(place: Installation, first: int, count: int) -> httpx.Response:
    """Send `count` events over HTTP."""
    body = b"[" + b",".join(events(count, first=first)) + b"]"
    return place.http.post("/events", content=body, headers={"content-type": "application/json"})


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, small_disk: Path) -> None:
    """If this fails, a full disk ends processes, keeps predictions from being answered, or costs events."""
    folders: dict[str, Any] = {"data_dir": str(small_disk / "data"), "publish_dir": str(small_disk / "publish")}
    with installation(tmp_path, MODEL, **folders) as place:
        place.start("up")
        place.wait_until_ready()
        assert send(place, 0, 500).status_code == httpx.codes.ACCEPTED
        trainer = place.wait_until_learned(500)["trainer"]["pid"]
        place.wait_for(lambda state: state["checkpoint"] is not None)
        filler = fill(small_disk)
        # It is noticed while there is still something to write.
        refused, accepted = 0, 500
        until = time.monotonic() + 60
        while refused < 20:
            answer = send(place, accepted, 50)
            if answer.status_code == httpx.codes.ACCEPTED:
                accepted += 50
            else:
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                refused += 1
            assert place.http.post("/predict", json=QUERY).status_code == httpx.codes.OK
            assert time.monotonic() < until, "the disk was never full"
            fill(small_disk)
            time.sleep(0.05)
        filler.unlink()
        assert send(place, accepted, 50).status_code == httpx.codes.ACCEPTED
        accepted += 50
        state = place.wait_until_learned(accepted)
        assert total_learned(state) == accepted
        assert state["trainer"]["pid"] == trainer, place.log("up")
        # Nothing more comes, and still what found no room is kept in the end.
        place.wait_for(lambda state: state["checkpoint"]["version"] == state["model_version"])


FAULTY = """
import os, pathlib
genuine, fault = os.fsync, pathlib.Path({fault!r})
def fsync(descriptor):
    if fault.exists():
        raise OSError(5, "Input/output error")
    genuine(descriptor)
os.fsync = fsync
from service.cli import main
main()
"""


def test_a_disk_whose_fsync_fails(tmp_path: Path) -> None:
    """If this fails, a trainer goes on with a disk that loses what it is given, or cannot start on a better one."""
    fault = tmp_path / "fault"
    with installation(tmp_path, MODEL) as place:
        sink = LogSink(place.data_dir / "log" / "events.sqlite")
        sink.append([NewRecord(value) for value in events(500)])
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-c", FAULTY.format(fault=str(fault)), "train", "--config", str(place.config)]
        with (tmp_path / "faulty.log").open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        wait_for(place, 500)
        fault.touch()
        sink.append([NewRecord(value) for value in events(500, first=500)])
        assert process.wait(30) == 1
        output_of = (tmp_path / "faulty.log").read_text()
        assert "check the disk" in output_of.splitlines()[-1]
        assert "Traceback" not in output_of
        fault.unlink()
        sink.append([NewRecord(value) for value in events(500, first=1000)])
        sink.close()
        chosen = load_settings(place.config, {})
        with running(open_model(chosen, make_source(chosen, "default"))) as run:
            status = run.wait_for(learned(1500))
        assert status.events_learned == {"microbatch": 1500}
        assert status.events_checksum == checksum_of_single({0: 1500})


def wait_for(place: Installation, count: int, seconds: float = 90.0) -> Status:
    """Return the trainer's own report once it has learned `count` events; no server runs here."""
    until = time.monotonic() + seconds
    while True:
        status = read_status(place.folder / "publish" / "default" / "status.json")
        if status is not None and sum(status.events_learned.values()) >= count:
            return status
        assert time.monotonic() < until, f"it did not happen in time; the status was {status}"
        time.sleep(0.05)
