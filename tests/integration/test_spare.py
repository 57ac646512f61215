"""``headrace up`` with its spare trainer: real processes, real signals, the real importing."""

import contextlib
import os
import signal
from pathlib import Path

from tests.integration.test_survival import MODEL, Producing, trainer_pid
from tests.support.processes import Installation, installation, total_learned


def spares_of(supervisor: int) -> list[int]:
    """Return the children that were started as spares, the ones that have become trainers included."""
    found = []
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"\0spare\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def wait_for_spare(place: Installation, supervisor: int, others: set[int]) -> int:
    """Return a spare that is none of `others`."""
    place.wait_for(lambda _: bool(set(spares_of(supervisor)) - others))
    return min(set(spares_of(supervisor)) - others)


def test_a_spare_takes_the_place_of_a_killed_trainer_and_learns_on(tmp_path: Path) -> None:
    """If this fails, every crash under `up` costs the seconds of importing, or a spare is left behind at the end."""
    with installation(tmp_path, MODEL) as place:
        supervisor = place.start("up")
        place.wait_until_ready()
        producing = Producing(place, 3000)
        place.wait_until_learned(500)
        first = trainer_pid(place)
        spare = wait_for_spare(place, supervisor.pid, set())
        os.kill(first, signal.SIGKILL)
        place.wait_for(lambda state: state["trainer"]["pid"] == spare)
        producing.end()
        place.wait_until_learned(3000)
        another = wait_for_spare(place, supervisor.pid, {spare})
        assert total_learned(place.state()) == 3000
        supervisor.terminate()
        assert supervisor.wait(40) == 0, place.log("up")
        assert [pid for pid in (first, spare, another) if Path(f"/proc/{pid}").exists()] == []
        assert "Traceback" not in place.log("up")
