"""Kill cycles: trainers killed at every step of what they do, and what came of it compared with an undisturbed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.faults.points import ALONE, COMMANDS, ENDING, EVERY, READER, TAKE_OVER, TORN

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(("variety", "cycles"), [("sizes", 21), ("timeouts", 12), ("taught", 6), ("challenged", 4)])
def test_no_kill_loses_an_event_or_doubles_one_or_alters_a_bit(tmp_path: Path, variety: str, cycles: int) -> None:
    """If this fails, a model is not what its stream says, and nobody can tell when that began."""
    seed = int.from_bytes(os.urandom(3), "big")
    program = ["-m", "tests.integration.faults.campaign", str(tmp_path / "place"), variety, "--cycles", str(cycles)]
    ended = subprocess.run(
        [sys.executable, *program, "--seed", str(seed)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    again = f"to repeat: python {' '.join(program)} --seed {seed}\n{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"
    assert ended.returncode == 0, again
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["problems"] == [], again
    assert result["cycles"] == cycles, again
    assert sum(result["kills"].values()) >= cycles, again
    assert result["updates"] > 50, again
    assert result["versions_seen"] > 50, again
    assert result["dead_letters"] > 0, again
    assert (result["taught"] > 0) is (variety == "taught"), again
    assert result["promotions"] == (variety == "challenged"), again


def test_every_step_of_a_checkpoint_is_a_point() -> None:
    """If this fails, a campaign leaves out a step at which machines do die."""
    for name in ("segment", "manifest"):
        for step in ("create", "append", "sync", "rename"):
            assert {f"{name} {step} before", f"{name} {step} after"} <= ALONE.keys()
    assert {*ALONE, *COMMANDS, *TAKE_OVER, *ENDING, *READER, *TORN} == EVERY


def test_a_command_is_done_once_wherever_its_trainer_is_killed(tmp_path: Path) -> None:
    """If this fails, a rollback is lost, or is done again and throws away what was learned since."""
    program = ["-m", "tests.integration.faults.command_kills", str(tmp_path / "place")]
    ended = subprocess.run(
        [sys.executable, *program], cwd=REPOSITORY, capture_output=True, text=True, timeout=170, check=False
    )
    again = f"{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"
    assert ended.returncode == 0, again
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["problems"] == [], again
    assert result["killed"] == result["rounds"] == len(COMMANDS) + 2
