"""When a checkpoint is due: by time, and before that by how much would have to be learned again."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.errors import PositionLost
from consumers.testing import Mark, MemorySource
from models.effort import FULL, Effort
from models.examples import Examples
from models.learner import LearnReport
from models.torch_learner import TorchLearner
from service.checkpoints import CheckpointStore
from service.durability import checkpointing
from service.durability.checkpointing import Checkpointer
from tests.support.checkpointing import checkpoint
from tests.support.training import events, open_model, running, settings


class Slow(CheckpointStore):
    """Takes its time to write."""

    seconds = 0.0

    def save(self, *arguments: Any, **more: Any) -> Any:
        time.sleep(self.seconds)
        return super().save(*arguments, **more)


@pytest.fixture
def store(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


@pytest.fixture
def checkpointer(store: Slow) -> Iterator[Checkpointer]:
    made = Checkpointer(store, every_seconds=3600, saved=lambda *_: None, failed=lambda _: None)
    made.start(100.0)
    yield made
    made.close()


def test_a_second_of_learning_makes_a_checkpoint_due(checkpointer: Checkpointer) -> None:
    """If this fails, a restart beside a fast stream learns for as long again as the time between two checkpoints."""
    assert not checkpointer.due(100.9)
    assert checkpointer.due(101.1)
    checkpointer.submit(checkpoint(1))
    checkpointer.finish()
    assert not checkpointer.due(102.0)
    checkpointer._begun -= 10
    assert checkpointer.due(102.2)


def test_checkpoints_that_take_long_keep_their_time(checkpointer: Checkpointer, store: Slow) -> None:
    """If this fails, a large model beside a fast stream does nothing but write checkpoints."""
    store.seconds = 0.3
    assert checkpointer.due(101.1)
    checkpointer.submit(checkpoint(1))
    checkpointer.finish()
    store.seconds = 0.0
    assert not checkpointer.due(105.0)
    checkpointer._begun -= 10
    assert checkpointer.due(105.0)


def test_time_alone_makes_one_due(tmp_path: Path) -> None:
    """If this fails, a slow stream's last events are learned again hours later."""
    quick = Checkpointer(CheckpointStore(tmp_path), every_seconds=0.05, saved=lambda *_: None, failed=lambda _: None)
    quick.start(7.0)
    time.sleep(0.06)
    assert quick.due(7.0)
    quick.close()


def test_what_was_learned_again_is_kept_before_more_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a trainer that is killed again and again has more to learn again each time."""
    genuine = TorchLearner.learn

    def slowly(learner: TorchLearner, examples: Examples, effort: Effort = FULL) -> LearnReport:
        time.sleep(0.03)
        return genuine(learner, examples, effort)

    monkeypatch.setattr(TorchLearner, "learn", slowly)
    monkeypatch.setattr(checkpointing, "_MOST_WORK", math.inf)
    chosen = settings(tmp_path, checkpoint={"every_seconds": 3600})
    crashing = MemorySource({0: [*events(320), Mark(PositionLost("gone"))]})
    with running(open_model(chosen, crashing)) as run, pytest.raises(PositionLost):
        run.wait_for(lambda _: False)
    # More seconds than that are learned again, and fewer than that are still to be learned.
    monkeypatch.setattr(checkpointing, "_MOST_WORK", 0.3)
    with running(open_model(chosen, MemorySource({0: events(320)}))) as run:
        run.wait_for(lambda status: status.checkpoint is not None)
