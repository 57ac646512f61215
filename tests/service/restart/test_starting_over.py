"""Learning a model again from the log: what was is kept whole, numbers go on, and a crash leaves the old or the new."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from consumers.dead_letters import DeadLetters
from consumers.errors import PositionLost
from consumers.source import Position
from consumers.testing import Mark, MemorySource
from models.examples import Features
from service.checkpoints import CheckpointStore
from service.config import Settings
from service.durability.files import Files
from service.durability.model_identity import known_identity
from service.errors import ConfigurationInvalid, ModelOwned, StorageFailed
from service.predictor import ServingModel
from service.rest.served_model import ServedModel
from service.restart import starting_over
from service.restart.starting_over import positions_at, start_over
from service.wiring import model_paths
from tests.support.checksums import checksum_of, checksum_of_single
from tests.support.training import events, learned, open_model, running, settings

NOTHING = Features(1, (), np.empty((1, 0)))


def source_of(first: int = 100, second: int = 60) -> MemorySource:
    return MemorySource({0: events(first), 1: events(second, seed=7)})


def learn(chosen: Settings, source: MemorySource, count: int) -> int:
    """Learn until `count` events are learned; return the version."""
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: learned(count)(status) and status.state == "idle")
    return run.trainer.training.versions.current


def test_a_model_learns_again_from_the_beginning(tmp_path: Path) -> None:
    """If this fails, learning again loses what was learned before, or gives numbers twice."""
    chosen, source = settings(tmp_path, checkpoint={"every_seconds": 1000}), source_of()
    served = learn(chosen, source, 160)
    kept = start_over(chosen, "default", "earliest", source)
    old = CheckpointStore(kept / "checkpoints")
    assert [(info.version, problem) for info, problem in old.verify()] == [(served, None)]
    assert list((kept / "journal").glob("*.journal"))
    assert (kept / "dead_letters.sqlite").exists()
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(160))
        assert run.trainer._recovered.version == served
        assert status.version > served
        assert status.events_learned == {"microbatch": 160}
        assert status.events_checksum == checksum_of_single({0: 100, 1: 60})
    # And that is a model like any other: it goes on.
    source.append(0, *events(40, first=100))
    assert learn(chosen, source, 200) > status.version


def test_a_model_learns_again_from_some_place(tmp_path: Path) -> None:
    """If this fails, it learns what it should not, or forgets where to begin when it is killed at once."""
    chosen, source = settings(tmp_path, checkpoint={"every_seconds": 1000}), source_of()
    learn(chosen, source, 160)
    start_over(chosen, "default", "0:90", source)
    source.append(0, Mark(PositionLost("killed")))
    with running(open_model(chosen, source)) as run, pytest.raises(PositionLost):
        run.wait_for(lambda status: status.version < 0)
    assert not run.model.store.list(), "the crash must not have left a checkpoint"
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.epoch == run.model.lease.epoch and learned(70)(status))
        places = [(0, offset + 1, 0) for offset in range(90, 100)] + [(1, offset + 1, 0) for offset in range(60)]
        assert run.trainer.training.lane.count.checksum == checksum_of(places)


@pytest.mark.parametrize(
    ("origin", "positions"),
    [
        ("earliest", {}),
        ("0:7", {0: Position(7)}),
        ("0:12,1:3", {0: Position(12), 1: Position(3)}),
        # In memory, a record's time in milliseconds is its offset.
        ("0.05", {0: Position(50), 1: Position(50)}),
        ("1970-01-01T00:00:00.080Z", {0: Position(80), 1: Position(60)}),
    ],
)
def test_what_can_be_said_of_a_place(origin: str, positions: dict[int, Position]) -> None:
    """If this fails, an operator's offsets or times mean something else."""
    assert positions_at(origin, source_of()) == positions


def test_a_place_that_there_is_not_changes_nothing(tmp_path: Path) -> None:
    """If this fails, a typing error costs what was learned."""
    chosen, source = settings(tmp_path), source_of()
    served = learn(chosen, source, 160)
    with pytest.raises(PositionLost):
        start_over(chosen, "default", "0:500", source)
    for wrong in ("yesterday", "0:1;1:2", "latest", "nan", "-5"):
        with pytest.raises(ConfigurationInvalid, match="no place to learn from"):
            start_over(chosen, "default", wrong, source)
    assert not model_paths(chosen, "default").aside.exists()
    with running(open_model(chosen, source)) as run:
        with pytest.raises(ModelOwned, match="stop its trainer first"):
            start_over(chosen, "default", "earliest", source)
        assert run.trainer._recovered.version == served
        assert run.trainer.training.lane.learned == 160


def test_all_is_judged_again_but_what_was_sent_again(tmp_path: Path) -> None:
    """If this fails, a corrected setting changes nothing, or a letter that was sent again is learned twice."""
    chosen = settings(tmp_path, task="binary")
    labels = ["yes", "no", "maybe", "perhaps"]
    source = MemorySource(
        {0: [json.dumps({"features": {"x": number}, "label": label}).encode() for number, label in enumerate(labels)]}
    )
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.events_consumed == 4)
        assert run.status().dead_letters == {"label": 2}
    with closing(DeadLetters(run.model.paths.dead_letters)) as letters:
        sent = letters.find()[1]
        letters.redrives.finish(letters.redrives.begin([sent.id]))
    corrected = settings(tmp_path, task="multiclass")
    kept = start_over(corrected, "default", "earliest", source)
    with closing(DeadLetters(kept / "dead_letters.sqlite")) as letters:
        assert len(letters.find()) == 2
    with running(open_model(corrected, source)) as run:
        run.wait_for(lambda status: status.events_consumed == 4)
        assert sorted(map(str, run.status().classes)) == ["maybe", "no", "yes"]
        assert run.status().events_checksum == checksum_of_single({0: 3})
    # Places in another log mean nothing: all of it is judged.
    other = MemorySource(
        {0: [json.dumps({"features": {"x": 1}, "label": label}).encode() for label in labels]}, identity="another"
    )
    start_over(corrected, "default", "earliest", other)
    with running(open_model(corrected, other)) as run:
        run.wait_for(lambda status: status.events_consumed == 4)
        assert run.status().events_checksum == checksum_of_single({0: 4})


class Crash(Files):
    """Crashes before a step of writing, counted over all that are made."""

    left = 0

    def _step(self) -> None:
        Crash.left -= 1
        if Crash.left == 0:
            raise StorageFailed("the power is gone")

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)


def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a loss of power while a model begins anew leaves half of each."""
    origin = settings(tmp_path / "origin", checkpoint={"every_seconds": 1000})
    source = source_of()
    served = learn(origin, source, 160)
    monkeypatch.setattr(starting_over, "Files", Crash)
    outcomes = []
    for step in range(1, 40):
        chosen = settings(tmp_path / f"step-{step}", checkpoint={"every_seconds": 1000})
        shutil.copytree(origin.data_dir, chosen.data_dir)
        Crash.left = step
        try:
            start_over(chosen, "default", "1:20", source)
        except StorageFailed:
            crashed = True
        else:
            crashed = False
        Crash.left = 0
        model = open_model(chosen, source)
        recovered = model.recovery().run()
        recovered.lane.close()
        model.close()
        model.lease.release()
        assert recovered.version == served
        old = recovered.lane.learned == 160
        assert old or (recovered.lane.learned, recovered.lane.positions) == (0, {1: Position(20)})
        kept = model.paths.checkpoints if old else next(model.paths.aside.iterdir()) / "checkpoints"
        assert [problem for _, problem in CheckpointStore(kept).verify()] == [None]
        outcomes.append(old)
        if not crashed:
            break
    assert not outcomes[-1], "all steps must have been crashed at"
    assert outcomes == sorted(outcomes, reverse=True), "once it is the new one, it stays so"
    assert len(outcomes) > 8
    assert outcomes[0]


def version_of(model: ServingModel) -> int:
    model.refresh()
    return model.predict(NOTHING)[0].version


def test_servers_do_not_answer_from_a_model_that_is_no_more(tmp_path: Path) -> None:
    """If this fails, a deleted model goes on predicting from shared memory until a new one has learned something."""
    chosen, source = settings(tmp_path), source_of()
    served = learn(chosen, source, 160)
    old = ServedModel(chosen, "default")
    assert version_of(old.serving) == served
    assert old.status() is not None
    # Begun anew: what was published is taken back, from servers that are attached already, too.
    start_over(chosen, "default", "earliest", source)
    for model in (old, ServedModel(chosen, "default")):
        model.serving._subscription._look_at = 0.0
        assert version_of(model.serving) == 0
        assert model.status() is None
    again = learn(chosen, source, 160)
    assert again > served
    assert version_of(old.serving) == again
    # Deleted, by hand, and with it what says which model it was: the publication stays behind.
    identity = known_identity(model_paths(chosen, "default").root)
    shutil.rmtree(chosen.data_dir)
    for model in (old, ServedModel(chosen, "default")):
        model.serving._subscription._look_at = 0.0
        assert version_of(model.serving) == 0
        assert model.status() is None
    learn(chosen, source, 160)
    assert known_identity(model_paths(chosen, "default").root) not in ("", identity)
    assert version_of(old.serving) > 0
    assert old.status() is not None
