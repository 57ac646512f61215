"""A device that is lost to the process: it ends, another one goes on, and what breaks the device again is passed."""

import time
from pathlib import Path

import pytest

from consumers.testing import MemorySource
from models.errors import DeviceLost
from service import cli
from service.exit_statuses import DEVICE_LOST
from service.learning.lane import Lane
from service.repair import fallback
from tests.support.training import events, learned, open_model, running, settings

NETWORK = Path(__file__).parents[2] / "models" / "user_networks.py"


def test_a_lost_device_ends_the_process_and_not_the_stream(tmp_path: Path) -> None:
    """If this fails, events that break a device hold learning up for ever, or are learned twice."""
    curse = tmp_path / "curse"
    network = {"limit": str(tmp_path / "none"), "curse": str(curse)}
    config = settings(tmp_path, learner={"kind": f"{NETWORK}:Cursed", "device": "cpu", "network": network})
    source = MemorySource({0: events(160)})
    with running(open_model(config, source)) as run:
        run.wait_for(learned(160))
        curse.write_bytes(b"12")  # so often it is lost over what comes next
        source.append(0, *events(160, first=160))
        with pytest.raises(DeviceLost):
            run.wait_for(learned(320))
    with running(open_model(config, source)) as run, pytest.raises(DeviceLost):
        run.wait_for(learned(320))
    with running(open_model(config, source)) as run:
        status = run.wait_for(lambda status: learned(320)(status) and status.learner == "microbatch")
        assert status.events_learned["online"] > 0, "nobody stood in for it the third time"
        assert sum(status.events_learned.values()) == 320
        assert run.trainer.training.lane.learned == 320


def wait_for(coming: fallback.Return) -> None:
    """Wait until the lane is there, or what keeps it from coming is raised."""
    until = time.monotonic() + 30
    while coming.ready() is None and time.monotonic() < until:
        time.sleep(0.001)


def test_a_process_that_cannot_get_it_back_gives_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the online learner stands in for ever in a process that can never use the device again."""
    monkeypatch.setattr(fallback, "_BACK_OFF_FIRST", 0.001)
    monkeypatch.setattr(fallback, "_BACK_OFF_LAST", 0.004)
    tries = []

    def rebuild() -> Lane:
        tries.append(1)
        raise DeviceLost("an illegal memory access was encountered")

    coming = fallback.Return(rebuild, dict)
    with pytest.raises(DeviceLost):
        wait_for(coming)
    assert len(tries) == 3, "others may have the device for a moment only"
    coming.close()


def test_the_exit_status_tells_the_supervisor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, the supervisor takes a lost device for any other error, and waits before it starts again."""

    def lose() -> None:
        raise DeviceLost("the accelerator is lost to this process: an illegal memory access was encountered")

    monkeypatch.setattr(cli, "check_packages", lose)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == DEVICE_LOST == 75
    assert "illegal memory access" in capsys.readouterr().err
