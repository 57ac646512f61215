"""A disk that forgets a bit: the trainer goes on from a checkpoint that does not need it, with that one's offsets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from consumers.testing import MemorySource
from models.examples import Task
from models.learner import Learner, LearnerOptions, LearnerState
from models.registry import create_learner
from service.durability.manifest import Manifest, decode_manifest
from service.monitoring.status import Status
from tests.support.training import Running, events, learned, open_model, running, same_state, settings

STEP = 40
SHARED = "rotting"


class WithConstant:
    """A learner whose state has a part that never changes, as tables have that no event touches any more."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def state(self) -> LearnerState:
        state = self._learner.state()
        return LearnerState(state.meta, {**state.arrays, f"{SHARED}/table": np.arange(1000.0)})


def make(task: Task) -> Learner:
    return WithConstant(create_learner(LearnerOptions(kind="linear", device="cpu"), task))  # type: ignore[return-value] # all but one method are the learner's


def is_checkpointed(goal: int) -> Callable[[Status], bool]:
    return lambda status: (
        learned(goal)(status) and status.checkpoint is not None and status.checkpoint.version == status.version
    )


def kept(run: Running) -> list[Manifest]:
    return [decode_manifest(info.path) for info in run.model.store.list()]


def test_a_bit_that_flips_in_a_shared_segment_costs_nothing(tmp_path: Path) -> None:
    """One bad block would break every kept checkpoint at once, and with them the model."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 0.01, "keep": 3})
    source = MemorySource({0: []})
    with running(open_model(chosen, source, make)) as run:
        for step in range(4):
            source.append(0, *events(STEP, first=step * STEP))
            run.wait_for(is_checkpointed((step + 1) * STEP))
    expected = run.trainer.training.learner.state()
    before = kept(run)
    newest = before[0].segments[""][SHARED]
    sharing = [manifest for manifest in before if manifest.segments[""][SHARED] == newest]
    assert 1 <= len(sharing) < len(before)
    path = next(tmp_path.glob(f"data/models/default/checkpoints/segments/{newest.path}"))
    rotten = bytearray(path.read_bytes())
    rotten[len(rotten) // 2] ^= 1
    path.write_bytes(rotten)

    model = open_model(chosen, source, make)
    newest_whole = model.store.load()
    assert newest_whole is not None
    assert newest_whole.positions == before[len(sharing)].positions
    with running(model) as run:
        status = run.wait_for(learned(4 * STEP))
        assert status.events_learned == {"microbatch": 4 * STEP}
    assert same_state(run.trainer.training.learner.state(), expected)
