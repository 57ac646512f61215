"""The commands that look at checkpoints, prove them and go back to one: on a model that learned an embedded log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.log import LogSink, LogSource
from consumers.source import NewRecord
from service import cli
from service.checkpoints import CheckpointStore
from service.config import Settings
from service.publishing.subscription import Subscription
from service.wiring import log_path, model_paths
from tests.support.checksums import checksum_of_single
from tests.support.training import events, learned, open_model, running, same_state, settings

Headrace = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(tmp_path, checkpoint={"every_seconds": 1000, "keep": 3})


@pytest.fixture
def headrace(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headrace:
    """Return a function that runs ``headrace checkpoints ARGUMENTS``, and commands that have no such group."""
    config = tmp_path / "headrace.yaml"
    # The commands set up logging for a process of their own, which this one is not.
    monkeypatch.setattr("service.logs.configure_logs", lambda **_: None)
    config.write_text(yaml.safe_dump(chosen.model_dump(mode="json", exclude_unset=True)))

    def run(*arguments: str) -> tuple[int, str, str]:
        group = [] if arguments[0] in ("pause", "resume", "rollback") else ["checkpoints"]
        monkeypatch.setattr("sys.argv", ["headrace", *group, *arguments, "--config", str(config)])
        capsys.readouterr()  # what was logged before
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def as_json(ended: tuple[int, str, str]) -> Any:
    """Return the last line that a command printed."""
    return json.loads(ended[1].splitlines()[-1])


def append(chosen: Settings, first: int, count: int) -> LogSource:
    path = log_path(chosen, "events")
    sink = LogSink(path)
    sink.append([NewRecord(value) for value in events(count, first=first)])
    sink.close()
    return LogSource(path)


def learn(chosen: Settings, *counts: int) -> list[int]:
    """Append and learn so many events, one run after the other; return the checkpoints' versions, oldest first."""
    total = 0
    for count in counts:
        source = append(chosen, total, count)
        total += count
        with running(open_model(chosen, source)) as run:
            run.wait_for(learned(total))
    return [info.version for info in reversed(store_of(chosen).list())]


def store_of(chosen: Settings) -> CheckpointStore:
    return CheckpointStore(model_paths(chosen, "default").checkpoints)


def test_a_model_without_checkpoints_is_no_error(headrace: Headrace) -> None:
    """If this fails, a health check of a new installation fails."""
    for command in ("list", "verify"):
        status, out, _ = headrace(command)
        assert status == 0
        assert "no checkpoints of default" in out
    assert as_json(headrace("list", "--json")) == {"model": "default", "checkpoints": []}


def test_list_shows_what_is_kept(chosen: Settings, headrace: Headrace) -> None:
    """If this fails, nobody knows what there is to go back to."""
    versions = learn(chosen, 90, 70)
    _, out, _ = headrace("list")
    columns = "VERSION EPOCH CREATED MIB CANARY FROM NAMES EVENTS POSITIONS"
    assert out.splitlines()[0].split() == columns.split()
    assert [int(line.split()[0]) for line in out.splitlines()[1:]] == versions[::-1]
    newest = as_json(headrace("list", "--json"))["checkpoints"][0]
    assert newest["positions"] == {"0": [160, 0]}
    assert newest["events_learned"] == 160
    assert newest["events_checksum"] == checksum_of_single({0: 160})


def test_verify_proves_and_finds_damage(chosen: Settings, headrace: Headrace) -> None:
    """If this fails, a flipped bit or an event that was learned twice stays unseen until the day it is needed."""
    versions = learn(chosen, 90, 70)
    status, out, _ = headrace("verify", "--replay", "9")
    assert status == 0
    assert f"made again of {versions[0]}, 70 events: the same, bit for bit" in out
    assert "no whole checkpoint before it is kept" in out
    answer = as_json(headrace("verify", "--replay", "1", "--json"))
    assert answer["ok"]
    assert answer["checkpoints"][0]["replay"]["outcome"] == "same"
    assert answer["checkpoints"][1]["replay"] is None
    path = max(model_paths(chosen, "default").checkpoints.glob("segments/*/*"), key=lambda path: path.stat().st_mtime)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    status, out, _ = headrace("verify")
    assert status == 1
    assert "DAMAGED" in out
    assert path.name in out


def test_restore_brings_the_parameters_back_and_learns_nothing_twice(chosen: Settings, headrace: Headrace) -> None:
    """If this fails, going back to good parameters costs events, or has them learned twice."""
    first, second = learn(chosen, 90, 70)
    status, out, err = headrace("restore", str(first))
    assert status == 0, err
    assert f"version {second + 1} of default is version {first} again" in out
    header, _ = Subscription(model_paths(chosen, "default").publication).read(lambda _: None)
    assert (header["version"], header["restored_from"]) == (second + 1, first)
    newest, old = store_of(chosen).load(), store_of(chosen).load(store_of(chosen).list()[2])
    assert newest is not None
    assert old is not None
    assert (newest.version, old.version) == (second + 1, first)
    assert same_state(newest.learner, old.learner)
    with running(open_model(chosen, append(chosen, 160, 40))) as run:
        status_now = run.wait_for(learned(200))
        assert status_now.events_checksum == checksum_of_single({0: 200})
        assert status_now.version > second + 1
    assert headrace("verify", "--replay", "2")[0] == 0


def test_restore_with_positions_learns_again_what_came_after(chosen: Settings, headrace: Headrace) -> None:
    """If this fails, the second way back forgets events, or gives numbers that were served to other parameters."""
    first, second = learn(chosen, 90, 70)
    answer = as_json(headrace("restore", str(first), "--with-positions", "--json"))
    assert answer == {"model": "default", "version": second + 1, "restored_from": first, "with_positions": True}
    newest = store_of(chosen).load()
    assert newest is not None
    assert newest.positions[0].offset == 90
    with running(open_model(chosen, LogSource(log_path(chosen, "events")))) as run:
        again = run.wait_for(lambda status: status.events_checksum == checksum_of_single({0: 160}))
        assert again.version > second + 1
        assert again.events_learned == {"microbatch": 160}
    status, out, _ = headrace("verify", "--replay", "3")
    assert status == 0
    assert f"version {second + 1} is version {first} again, its positions included" in out


def test_a_model_that_is_being_trained_is_not_restored(chosen: Settings, headrace: Headrace) -> None:
    """If this fails, an operator and a trainer write over each other."""
    (first,) = learn(chosen, 90)
    with running(open_model(chosen, append(chosen, 90, 10))) as run:
        run.wait_for(learned(100))
        status, _, err = headrace("restore", str(first))
        back = as_json(headrace("rollback", str(first), "--then", "pause", "--json"))
        assert run.wait_for(lambda status: status.state == "paused").version == back["model_version"]
        assert f"default learns, at version {back['model_version']}" in headrace("resume")[1]
    assert status == 1
    assert "stop its trainer first" in err
    assert back["restored_from"] == first
    for command in ("restore", "rollback"):
        status, _, err = headrace(command, "77777")
        assert status == 1
        assert "there is no checkpoint of version 77777" in err
    assert "waits: the trainer is down" in headrace("pause")[1]
