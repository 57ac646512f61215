"""A model that does not begin at nothing: what it begins with is durable, is learned once, and all else is as ever."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from consumers.errors import PositionLost
from consumers.testing import EOF, Mark, MemorySource
from models.learner import LearnerState
from service.checkpoints import Checkpoint, CheckpointStore
from service.config import Settings
from service.durability.journal_reading import read_journal
from service.errors import CheckpointInvalid, ConfigurationInvalid, StorageFailed, StreamFileInvalid
from service.exporting.export_file import encode_export, write_export
from service.exporting.exporting import export_of
from service.learning.model import Model
from service.replaying.replay_events import Roles
from service.restart import beginning, history_file
from service.restart.beginning import begin
from service.restart.history import history
from service.restart.history_file import HistoryOrder, events_as_in
from service.restart.remaking import model_to_read, remake
from service.restart.starting_over import start_over
from service.settings.event_options import EventOptions
from service.wiring import model_paths
from tests.support.checksums import checksum_of_single
from tests.support.journaling import updates
from tests.support.training import events, learned, open_model, running, same_state, settings, write_table

SLOW: dict[str, Any] = {"every_seconds": 1000}


class Killed(Exception):
    """What ends a trainer at some place."""


def go_on() -> bool:
    """Say that nobody has stopped it."""
    return False


def learn(chosen: Settings, source: MemorySource, count: int, order: HistoryOrder | None = None) -> int:
    """Have the model begin, and learn until `count` events are learned; return its version."""
    model = open_model(chosen, source)
    assert begin(model, order, go_on)
    with running(model) as run:
        run.wait_for(lambda status: learned(count)(status) and status.state == "idle")
    return run.trainer.training.versions.current


def begun(chosen: Settings, source: MemorySource, order: HistoryOrder | None = None) -> None:
    """Have the model begin, and no more."""
    model = open_model(chosen, source)
    try:
        begin(model, order, go_on)
    finally:
        close(model)


def close(model: Model) -> None:
    model.close()
    model.lease.release()


def kept(chosen: Settings) -> list[Checkpoint]:
    """Return the checkpoints, oldest first."""
    store = CheckpointStore(model_paths(chosen, "default").checkpoints)
    return [found for info in reversed(store.list()) if (found := store.load(info)) is not None]


def teacher(folder: Path, **model: Any) -> Path:
    """Return the folder of a model that has learned 200 events."""
    chosen = settings(folder / "teacher", checkpoint=SLOW, **model)
    learn(chosen, MemorySource({0: events(200, seed=5)}), 200)
    return model_paths(chosen, "default").root


def file_of(folder: Path, rows: int = 300) -> HistoryOrder:
    """Write a history of the stream, and say how to learn it."""
    path = write_table(folder / "history.csv", events(rows, seed=9), "direction")
    return HistoryOrder(path, Roles("direction"))


def learned_of(state: LearnerState) -> LearnerState:
    """Return a state without what is scored."""
    arrays = {name: a for name, a in state.arrays.items() if not name.startswith(("evaluation/", "drift/", "scores/"))}
    return LearnerState(state.meta, arrays)


@pytest.mark.parametrize("kind", ["linear", "online"])
@pytest.mark.parametrize("form", ["folder", "manifest", "export"])
def test_it_begins_with_what_another_model_has_learned(tmp_path: Path, kind: str, form: str) -> None:
    """If this fails, a model begins at nothing, or at the other one's place, or with its scores."""
    learner = {"kind": kind, "device": "cpu"}
    other = teacher(tmp_path, learner=learner)
    path = other if form == "folder" else next((other / "checkpoints").glob("manifest-*.json"))
    if form == "export":
        path = tmp_path / "other.safetensors"
        export = export_of(CheckpointStore(other / "checkpoints"), None, with_state=True)
        write_export(path, encode_export(export))
    chosen = settings(tmp_path, checkpoint=SLOW, learner=learner, warm_start=path)
    source = MemorySource({0: events(60)})
    begun(chosen, source)
    (first,) = kept(chosen)
    taken = CheckpointStore(other / "checkpoints").load()
    assert taken is not None
    if kind == "linear":
        assert same_state(learned_of(first.learner), learned_of(taken.learner))
    assert first.service["classes"] == taken.service["classes"]
    assert (first.positions, first.service["lane"]["learned"]) == ({}, 0)
    # From there on it is a model like any other; the one it came from is of no concern to it any more.
    shutil.rmtree(other)
    assert learn(chosen, source, 60) > first.version
    last = kept(chosen)[-1]
    assert last.service["lane"]["learned"] == 60
    assert last.service["lane"]["events_checksum"] == checksum_of_single({0: 60})
    begun(chosen, source)
    assert kept(chosen)[-1].version == last.version


def test_scores_begin_with_its_own_stream_and_it_answers_at_once(tmp_path: Path) -> None:
    """If this fails, a model is shown as good as another was elsewhere, or what it took over is of no use."""
    scores: dict[str, dict[str, Any]] = {}
    for name, path in (("cold", None), ("warm", teacher(tmp_path))):
        chosen = settings(tmp_path / name, checkpoint=SLOW, warm_start=path)
        source = MemorySource({0: events(40)})
        model = open_model(chosen, source)
        begin(model, None, go_on)
        with running(model) as run:
            scores[name] = dict(run.wait_for(learned(40)).scores["stream"])
    assert scores["warm"]["count"] == scores["cold"]["count"] == 40
    assert scores["warm"]["scored"] == 40 > scores["cold"]["scored"]
    assert scores["warm"]["log_loss"] < scores["cold"]["log_loss"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"task": "regression"}, "has learned the task multiclass, and this model's is regression: set task to multi"),
        ({"learner": {"kind": "mlp"}}, r"with learner\.kind: linear, and this model's is mlp: set it to linear, or"),
        ({"learner": {"kind": "linear", "optimizer": "sgd"}}, r"learner\.optimizer: auto"),
        ({"learner": {"kind": "linear", "network": {"hidden": [3]}}}, "network"),
        ({"events": {"features": {"city": "number"}}}, "knows the feature city as a category, and .* as a number"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    """If this fails, a model goes on from what it cannot read, or a wrong setting costs what it could have learned."""
    chosen = settings(tmp_path, **model, warm_start=teacher(tmp_path))
    with pytest.raises(Exception, match=message) as raised:
        begun(chosen, MemorySource({0: events(10)}))
    assert "warm_start" in str(raised.value) or "network" in str(raised.value)
    assert not kept(chosen)
    assert not read_journal(model_paths(chosen, "default").journal, -1).entries


def test_where_there_is_nothing_to_begin_with_that_is_said(tmp_path: Path) -> None:
    """If this fails, a wrong path is a model that begins at nothing, or a traceback."""
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigurationInvalid, match=r"there is no checkpoint; name a model's folder"):
            begun(settings(tmp_path, warm_start=path), MemorySource())
    other = teacher(tmp_path)
    for segment in other.glob("checkpoints/segments/*/*"):
        segment.write_bytes(b"broken")
    with pytest.raises(CheckpointInvalid):
        begun(settings(tmp_path, warm_start=other), MemorySource())


def test_a_data_directory_means_its_model_of_that_name(tmp_path: Path) -> None:
    """If this fails, the most natural path of all is refused."""
    other = teacher(tmp_path)
    chosen = settings(tmp_path, warm_start=other.parent.parent)
    begun(chosen, MemorySource())
    assert kept(chosen)


def test_a_history_is_learned_before_the_stream_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a restart learns the history again, or the stream's events do not count as they should."""
    chosen, order = settings(tmp_path, checkpoint=SLOW), file_of(tmp_path)
    source = MemorySource({0: [*events(80), EOF]})
    begun(chosen, source, order)
    (first,) = kept(chosen)
    assert first.service["begun"]["rows"] == 300
    assert first.learner.meta["counters"]["rows"] == 300
    assert "accuracy" in first.service["begun"]["score"]
    monkeypatch.setattr(history_file, "learn_history", lambda *_: pytest.fail("it is learned again"))
    learn(chosen, source, 80, order)
    last = kept(chosen)[-1]
    assert last.service["lane"]["learned"] == 80
    assert last.learner.meta["counters"]["rows"] == 380
    # And a later checkpoint is what the journal and the log make of the first one, to the bit.
    with model_to_read(chosen, "default", source) as model:
        assert remake(model, first, last).outcome == "same"


def test_killed_anywhere_in_the_history_it_is_learned_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, half a history is learned, or some of it twice."""
    order = file_of(tmp_path)
    undisturbed, chosen = (settings(tmp_path / name, checkpoint=SLOW) for name in ("undisturbed", "killed"))
    source = MemorySource({0: events(10)})
    begun(undisturbed, source, order)
    steps = iter(range(2))

    def killing(model: Model) -> bool:
        if next(steps, None) is None:
            raise Killed(model.name)
        return False

    model = open_model(chosen, source)
    with pytest.raises(Killed):
        begin(model, order, lambda: killing(model))
    close(model)
    # A stop in order gives up too, and keeps nothing; nor does a disk that is full at the very end.
    model = open_model(chosen, source)
    assert not begin(model, order, lambda: True)
    monkeypatch.setattr(CheckpointStore, "save", lambda *_: (_ for _ in ()).throw(StorageFailed("no room")))
    with pytest.raises(StorageFailed):
        begin(model, order, go_on)
    close(model)
    monkeypatch.undo()
    assert not kept(chosen)
    begun(chosen, source, order)
    (expected,), (found,) = kept(undisturbed), kept(chosen)
    assert same_state(found.learner, expected.learner)
    assert found.version == expected.version + 1, "the number of the one that was lost must not be given again"


def test_what_was_lost_with_its_checkpoint_is_not_made_up(tmp_path: Path) -> None:
    """If this fails, where checkpoints were deleted, updates are learned again onto nothing under their old names."""
    chosen = settings(tmp_path, checkpoint=SLOW)
    begun(chosen, MemorySource({0: []}), file_of(tmp_path))
    (entry,) = read_journal(model_paths(chosen, "default").journal, -1).entries
    past = history(-1, [entry, *updates(entry.version + 1, entry.version + 2)], "microbatch")
    assert not past.steps
    assert "in its checkpoint only" in past.gap


def test_a_model_that_begins_anew_begins_where_it_was_told_with_what_it_was_told(tmp_path: Path) -> None:
    """If this fails, ``--from`` and a history or a warm start cannot be had together."""
    chosen = settings(tmp_path, checkpoint=SLOW)
    source = MemorySource({0: events(50)})
    before = learn(chosen, source, 50)
    aside = start_over(chosen, "default", "0:30", source)
    own = chosen.models["default"].model_copy(update={"warm_start": aside})
    again = chosen.model_copy(update={"models": {"default": own}})
    begun(again, source, file_of(tmp_path))
    (first,) = kept(again)
    assert first.version > before
    assert first.positions[0].offset == 30
    assert first.learner.meta["counters"]["rows"] == 350
    assert {"warm_start", "history"} <= first.service["begun"].keys()
    learn(again, source, 20)
    assert kept(again)[-1].service["lane"]["learned"] == 20


def test_a_file_is_read_as_the_topic_is_or_as_a_table(tmp_path: Path) -> None:
    """If this fails, a history has other features than the stream, and is of no use to it."""
    rows = [{"order": {"late": "yes"}, "x": 1.0, "y": 2.0, "key": 4}, {"order": {"late": "no"}, "x": 2.0, "y": 1.0}]
    path = tmp_path / "flat.ndjson"
    path.write_text("\n".join(json.dumps(row) for row in rows * 20))
    chosen = settings(
        tmp_path, checkpoint=SLOW, events={"format": "flat", "label": "order.late", "exclude": ["y"], "id": "key"}
    )
    begun(chosen, MemorySource(), HistoryOrder(path, Roles(None)))
    (first,) = kept(chosen)
    assert first.service["classes"] == ["yes", "no"]
    assert [name for name, *_ in first.learner.meta["layout"]["numbers"]] == ["x"]
    flat = EventOptions(format="flat", label="late", exclude=("y",))
    assert events_as_in(Roles("label"), flat) == EventOptions(exclude=("y",))
    assert events_as_in(Roles(None), EventOptions(id="$key")) == EventOptions()
    with pytest.raises(StreamFileInvalid, match="Say --label COLUMN"):
        begun(settings(tmp_path / "table"), MemorySource(), HistoryOrder(file_of(tmp_path).file, Roles(None)))


def test_a_label_that_looks_like_one_of_the_history_is_refused(tmp_path: Path) -> None:
    """If this fails, "1" and 1 are two classes, one of the history and one of the stream."""
    path = tmp_path / "history.ndjson"
    path.write_text("\n".join(json.dumps({"features": {"x": x}, "label": x % 3}) for x in range(30)))
    chosen = settings(tmp_path, checkpoint=SLOW, task="multiclass")
    order = HistoryOrder(path, Roles(None))
    alike = [json.dumps({"features": {"x": 1}, "label": "1"}).encode()]
    source = MemorySource({0: [*alike, *(json.dumps({"features": {"x": 1}, "label": 1}).encode() for _ in range(5))]})
    learn(chosen, source, 5, order)
    assert kept(chosen)[-1].service["classes"] == [0, 1, 2]


def test_nothing_is_looked_at_where_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, every start of every model reads its journal and checkpoints twice."""
    monkeypatch.setattr(beginning, "journal_of_new", lambda *_: pytest.fail("it was looked at"))
    begun(settings(tmp_path), MemorySource())


def test_a_model_whose_updates_are_in_the_journal_only_has_begun(tmp_path: Path) -> None:
    """If this fails, a trainer killed before its first checkpoint forgets what was served, and begins with another."""
    chosen = settings(tmp_path, checkpoint=SLOW)
    source = MemorySource({0: [*events(60), Mark(PositionLost("killed"))]})
    with running(open_model(chosen, source)) as run, pytest.raises(PositionLost):
        run.wait_for(lambda status: status.version < 0)
    assert not kept(chosen)
    begun(chosen, source, file_of(tmp_path))
    assert not kept(chosen), "it goes on from its journal"
