"""A checkpoint is what journal and log make of the one before it; and where it is not, that is said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.source import Source
from consumers.testing import EOF, MemorySource
from service.checkpoints import Checkpoint, CheckpointStore
from service.config import Settings
from service.restart.remaking import Remade, model_to_read, remake
from service.wiring import model_paths
from tests.support.training import events, learned, open_model, running, settings


def history_of(chosen: Settings, pieces: Sequence[dict[int, list[bytes]]]) -> MemorySource:
    """Learn a stream in as many runs as there are pieces, with a checkpoint after each; return the source."""
    items: dict[int, list[Any]] = {}
    for piece in pieces:
        for partition, values in piece.items():
            items.setdefault(partition, []).extend([*values, EOF])
    source, count = MemorySource(items), 0
    for piece in pieces:
        count += sum(map(len, piece.values()))
        with running(open_model(chosen, source)) as run:
            run.wait_for(learned(count))
    return source


def kept(chosen: Settings) -> list[Checkpoint]:
    """Return the checkpoints, oldest first."""
    store = CheckpointStore(model_paths(chosen, "default").checkpoints)
    return [found for info in reversed(store.list()) if (found := store.load(info)) is not None]


def remade(chosen: Settings, source: Source, base: Checkpoint, target: Checkpoint) -> Remade:
    with model_to_read(chosen, "default", source) as model:
        return remake(model, base, target)


@pytest.mark.parametrize("kind", ["mlp", "online"])
def test_every_checkpoint_can_be_made_again(tmp_path: Path, kind: str) -> None:
    """If this fails, nobody can prove that a checkpoint stands for the log's events; or restarts change parameters."""
    chosen = settings(tmp_path, learner={"kind": kind, "device": "cpu"}, checkpoint={"every_seconds": 1000})
    pieces = [{0: events(90, seed=number), 1: events(70, seed=10 + number)} for number in range(3)]
    source = history_of(chosen, pieces)
    first, second, third = kept(chosen)
    assert remade(chosen, source, first, second) == Remade("same", "", 160)
    assert remade(chosen, source, second, third) == Remade("same", "", 160)
    assert remade(chosen, source, first, third) == Remade("same", "", 320)


def test_what_is_not_what_the_log_made_is_found(tmp_path: Path) -> None:
    """If this fails, a checkpoint that learned something twice, or that somebody altered, passes for a good one."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    source = history_of(chosen, [{0: events(90)}, {0: events(70, first=90)}])
    first, second = kept(chosen)

    def outcome(**changes: Any) -> str:
        found = remade(chosen, source, first, replace(second, **changes))
        assert found.outcome == "differs"
        return found.detail

    name, array = next((name, each) for name, each in second.learner.arrays.items() if each.dtype == np.float32)
    other = array.copy()
    other.flat[0] = np.nextafter(other.flat[0], np.float32(9))
    assert outcome(learner=replace(second.learner, arrays={**second.learner.arrays, name: other})) == (
        f"the array {name} differs"
    )
    lane = {**second.service["lane"], "learned": 161, "events_checksum": "0" * 16}
    assert "160 events learned, not 161; the events' checksum" in outcome(service={**second.service, "lane": lane})
    assert "beyond the checkpoint's position" in outcome(positions=first.positions)
    source.append(0, *events(1, first=160))
    ahead = {0: replace_offset(second, 161)}
    assert "passed without being learned" in outcome(positions=ahead)


def replace_offset(checkpoint: Checkpoint, offset: int) -> Any:
    return checkpoint.positions[0]._replace(offset=offset)


def test_events_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    """If this fails, a stream with dead letters or without labels cannot be verified."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000}, dead_letters={"pause_share": None})
    bad = [b"{not json", b'{"features": {"x": 1}}', b'{"features": {"x": 1}, "label": {}}']
    source = MemorySource({0: [*events(40), EOF, *bad, *events(40, first=40), *bad]})
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(40))
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.events_consumed == 86)
    letters = run.status().dead_letters
    first, second = kept(chosen)
    assert remade(chosen, source, first, second) == Remade("same", "", 40)
    with running(open_model(chosen, source)) as run:
        assert run.status().dead_letters == letters, "verifying must leave the dead letters alone"


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    """If this fails, an operator takes what was not checked for good, or for bad."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    source = history_of(chosen, [{0: events(90)}, {0: events(70, first=90)}])
    first, second = kept(chosen)
    changed = settings(tmp_path, learner={"kind": "linear", "device": "cpu", "learning_rate": 0.5})
    found = remade(changed, source, first, second)
    assert (found.outcome, found.detail) == (
        "impossible",
        "it was made under other settings of the model than those of now",
    )
    found = remade(chosen, MemorySource({0: events(160)}, identity="other"), first, second)
    assert found.outcome == "impossible"
    source.forget(0, 120)
    found = remade(chosen, source, first, second)
    assert found.outcome == "impossible"
    assert "does not hold offset 90" in found.detail
    for file in model_paths(chosen, "default").journal.glob("*.journal"):
        file.unlink()
    found = remade(chosen, MemorySource({0: events(160)}), first, second)
    assert found.outcome == "impossible"
    assert "the journal leads from version" in found.detail


def test_across_a_stand_in_nothing_is_claimed(tmp_path: Path) -> None:
    """If this fails, a checkpoint that caught up after a device failure is called wrong, or right without a look."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    source = history_of(chosen, [{0: events(90)}])
    paths = model_paths(chosen, "default")
    paths.drill.touch()
    source.append(0, *events(60, first=90))
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.events_learned.get("online") == 60)
        paths.drill.unlink()
        run.wait_for(lambda status: status.learner == "microbatch" and status.epoch == run.model.lease.epoch)
    first, *_, last = kept(chosen)
    assert last.version > first.version
    found = remade(chosen, source, first, last)
    assert (found.outcome, "the online learner stood in" in found.detail) == ("impossible", True), found
