"""The newest checkpoint is damaged or gone when a model starts: the one before it is taken, and its offsets with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.testing import MemorySource
from tests.support.checksums import checksum_of_single
from tests.support.training import events, learned, open_model, running, same_state, settings


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def newest_manifest(root: Path) -> Path:
    return max((root / "checkpoints").glob("manifest-*.json"))


def newest_segment(root: Path) -> Path:
    return max((root / "checkpoints").glob("segments/*/*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("damage", "find"),
    [
        (truncate, newest_manifest),
        (flip, newest_segment),
        (Path.unlink, newest_manifest),
        (Path.unlink, newest_segment),
    ],
    ids=["truncated manifest", "bit-flipped segment", "missing manifest", "missing segment"],
)
def test_a_start_without_the_newest_checkpoint(
    tmp_path: Path, damage: Callable[[Path], None], find: Callable[[Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """If this fails, one bad block costs the model, or events, or has some of them learned twice."""
    chosen, source = settings(tmp_path), MemorySource({0: events(300), 1: events(100, seed=1)})
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(400))
        run.wait_for(lambda status: status.checkpoint is not None and status.state == "idle")
        source.append(0, *events(100, first=300))
        run.wait_for(learned(500))
    expected = run.trainer.training.learner.state()
    root = run.model.paths.root
    assert len(list((root / "checkpoints").glob("manifest-*.json"))) > 1
    damaged = find(root)
    damage(damaged)
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(500))
        assert status.events_learned == {"microbatch": 500}
        assert status.events_checksum == checksum_of_single({0: 400, 1: 100})
    # Asked for once it has ended, for a learner belongs to the thread that learns.
    assert same_state(run.trainer.training.learner.state(), expected)
    with running(open_model(chosen, source)) as run:
        source.append(1, *events(50, seed=1, first=100))
        status = run.wait_for(learned(550))
        assert status.events_checksum == checksum_of_single({0: 400, 1: 150})
    if damaged != newest_manifest(root) and damage is not Path.unlink:
        assert damaged.name in "".join(capfd.readouterr())
