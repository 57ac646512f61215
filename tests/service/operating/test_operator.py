"""Commands to a trainer that learns: what they do, that it is done once, and that it holds across restarts."""

import re
import time
from pathlib import Path

import pytest

from consumers.testing import MemorySource
from models.learner import Json
from service.durability.journal_reading import read_journal
from service.durability.lease import Lease
from service.errors import OwnershipLost
from service.journal import Decision
from service.operating.command_table import CommandTable
from service.publishing.subscription import Subscription
from tests.support.training import Running, events, learned, open_model, running, same_state, settings

KEEP = {"every_seconds": 0.2, "keep": 100}
"""So many checkpoints that none goes while a slow machine looks."""


def ordered(run: Running, kind: str, data: Json | None = None, *, seconds: float = 20.0) -> Json:
    """Order something of a trainer that runs, and return the outcome."""
    table = CommandTable(run.model.service.data_dir / "commands.sqlite")
    number = table.order("default", kind, data or {}, "ann")
    try:
        return _outcome(run, table, number, seconds)
    finally:
        table.close()


def _outcome(run: Running, table: CommandTable, number: int, seconds: float) -> Json:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        outcome = table.outcome(number)
        if outcome is not None:
            return outcome
        if run.error is not None:
            raise run.error
        time.sleep(0.01)
    raise AssertionError("nobody obeyed")


def served(run: Running) -> Json:
    """Return the header of what servers answer from."""
    header, _ = Subscription(run.model.paths.publication).read(lambda _: None)
    return header


def checkpointed(run: Running, count: int) -> int:
    """Wait until a checkpoint of so many events is kept; return its version."""
    status = run.wait_for(
        lambda status: (
            learned(count)(status) and status.checkpoint is not None and status.checkpoint.version == status.version
        )
    )
    return status.version


def test_a_rollback_brings_the_learner_back_under_a_new_version(tmp_path: Path) -> None:
    """An operator could not get rid of what was learned last, or would lose the place in the log with it."""
    source = MemorySource({0: events(200)})
    with running(open_model(settings(tmp_path, checkpoint=KEEP), source)) as run:
        run.wait_for(learned(200))
        old = checkpointed(run, 200)
        before = run.trainer.training.learner.state()
        source.append(0, *events(100, first=200))
        newest = run.wait_for(learned(300)).version
        outcome = ordered(run, "rollback", {"checkpoint": old, "then": "pause"})
        assert outcome == {
            "status": 200,
            "model_version": newest + 1,
            "restored_from": old,
            "paused": True,
        }
        assert served(run)["version"] == newest + 1
        assert served(run)["restored_from"] == old
        assert same_state(run.trainer.training.learner.state(), before)
        status = run.wait_for(lambda status: status.version == newest + 1)
        assert status.rollbacks == 1
        assert status.positions["0"] == (300, 0)
        source.append(0, *events(100, first=300))
        assert ordered(run, "resume")["changed"]
        status = run.wait_for(learned(400))
        assert status.events_learned == {"microbatch": 400}, "what was gone back over counts, and is learned no more"


class _Killed(BaseException):
    """What stands for a SIGKILL where the trainer is a thread."""


def test_a_pause_holds_across_restarts_and_learns_nothing(tmp_path: Path) -> None:
    """A model that an operator has stopped would go on by itself as soon as its process is started again."""
    chosen, source = settings(tmp_path, checkpoint=KEEP), MemorySource({0: events(100)})
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(100))
        outcome = ordered(run, "pause")
        assert (outcome["status"], outcome["paused"], outcome["changed"]) == (200, True, True)
        assert not ordered(run, "pause")["changed"], "given twice, it is done once"
        source.append(0, *events(100, first=100))
        status = run.wait_for(lambda status: status.state == "paused" and status.lag == {"0": 100})
        assert status.paused is not None
        assert "ann" in status.paused.detail
    assert sum(run.status().events_learned.values()) == 100, "not even what was in hand at the end"
    with running(open_model(chosen, source)) as run:
        assert sum(run.wait_for(lambda status: status.state == "paused").events_learned.values()) == 100
        assert served(run)["version"] == outcome["model_version"]
        assert ordered(run, "resume") == {**outcome, "paused": False}
        run.wait_for(learned(200))
        assert not ordered(run, "resume")["changed"]
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.state == "idle")
        assert run.status().paused is None


def test_what_cannot_be_done_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """A typing error in a version would end the trainer, or wait for ever."""
    with running(open_model(settings(tmp_path, checkpoint=KEEP), MemorySource({0: events(100)}))) as run:
        old, version = checkpointed(run, 100), run.status().version
        for kind, data, said, status in (
            ("rollback", {"checkpoint": 4711}, f"no checkpoint of version 4711.*{old}", 404),
            ("dance", {}, "knows no command 'dance'", 422),
            ("rollback", {}, "must not", 503),
        ):
            outcome = ordered(run, kind, data)
            assert outcome["status"] == status
            assert re.search(said, outcome["detail"])
        assert run.status().version == version
        assert not any("command" in each.data for each in read_journal_decisions(run))


def read_journal_decisions(run: Running) -> list[Decision]:
    """Return the decisions in a trainer's journal."""
    entries = read_journal(run.model.paths.journal, -1).entries
    return [entry for entry in entries if isinstance(entry, Decision)]


def test_a_trainer_that_was_taken_over_from_finishes_no_command(tmp_path: Path) -> None:
    """Two trainers would both say what came of it, and one of them did nothing."""
    run = Running(open_model(settings(tmp_path, checkpoint=KEEP), MemorySource({0: events(20)})))
    run.wait_for(learned(20))
    successor = Lease.acquire(run.model.paths.lease, lease_seconds=0.0)
    assert successor is not None
    with pytest.raises(OwnershipLost):
        ordered(run, "pause")
    run.end()
    successor.release()
    (command,) = CommandTable(tmp_path / "data" / "commands.sqlite").pending("default")
    assert command.outcome is None


def test_the_canary_goes_to_no_version_that_an_operator_left(tmp_path: Path) -> None:
    """The canary would bring back what the operator got rid of, because its loss was lower."""
    source = MemorySource({0: events(200)})
    with running(open_model(settings(tmp_path, checkpoint=KEEP), source)) as run:
        old = checkpointed(run, 200)
        source.append(0, *events(100, first=200))
        newer = checkpointed(run, 300)
        assert ordered(run, "rollback", {"checkpoint": old, "then": "pause"})["restored_from"] == old
        candidates = [version for version, _ in run.trainer._repair._candidates()]
        assert old in candidates
        assert newer not in candidates
        assert newer in [info.version for info in run.model.store.list()]


def test_a_name_is_given_to_a_checkpoint_and_gone_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator could not keep the version of this morning, or a trainer that is killed would keep another one."""
    source = MemorySource({0: events(100)})
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000, "keep": 1})
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(100))
        outcome = ordered(run, "pin", {"name": "good", "version": None})
        assert outcome == {"status": 200, "name": "good", "version": run.status().version}
        assert ordered(run, "pin", {"name": "bad", "version": 4711})["status"] == 404
        source.append(0, *events(100, first=100))
        run.wait_for(learned(200))
        ordered(run, "pin", {"name": "late", "version": None})
        back = ordered(run, "rollback", {"checkpoint": "good"})
        assert back["restored_from"] == outcome["version"]
        with monkeypatch.context() as killing:
            killing.setattr(CommandTable, "finish", _die)
            with pytest.raises(_Killed):
                ordered(run, "pin", {"name": "good", "version": None})
    moved = {info.names: info.version for info in run.model.store.list()}[("good",)]
    source.append(0, *events(100, first=200))
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(300))
        (command,) = CommandTable(tmp_path / "data" / "commands.sqlite").recent("default", 1)
        assert command.outcome == {"status": 200, "name": "good", "version": moved}
        ordered(run, "unpin", {"name": "good"})
        assert {name for info in run.model.store.list() for name in info.names} == {"late"}


def _die(*_: object, **__: object) -> None:
    raise _Killed


def test_while_another_learner_stands_in_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    """A rollback would build a learner on a broken device; or a pause would end when the device is back."""
    source = MemorySource({0: events(100)})
    with running(open_model(settings(tmp_path, checkpoint=KEEP), source)) as run:
        old = checkpointed(run, 100)
        run.model.paths.drill.touch()
        source.append(0, *events(20, first=100))
        run.wait_for(lambda status: status.learner == "online")
        outcome = ordered(run, "rollback", {"checkpoint": old})
        assert outcome["status"] == 409
        assert "stands in" in outcome["detail"]
        assert ordered(run, "pause")["paused"]
        run.model.paths.drill.unlink()
        assert run.wait_for(lambda status: status.learner == "microbatch").paused is not None
        assert ordered(run, "rollback", {"checkpoint": old})["restored_from"] == old
        assert sum(run.status().events_learned.values()) == 120
