"""A teacher in the service: asked without waiting, written down, learned again from what was written down."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.errors import PositionLost
from consumers.testing import EOF, Mark, MemorySource
from models.examples import FeatureKey, Features, Kind, Task
from models.learner import Predictions
from service.checkpoints import CheckpointStore
from service.config import ModelSettings, Settings
from service.durability.journal_format import Update
from service.durability.journal_reading import read_journal
from service.durability.lease import Lease
from service.errors import ConfigurationInvalid
from service.learning import trainer_process
from service.learning.lessons import decode_lesson
from service.learning.model import Model
from service.learning.trainer_process import start_trainer
from service.predictor import Served
from service.restart.remaking import Remade, model_to_read, remake
from service.wiring import model_paths
from tests.support.training import Running, events, learned, running, same_state


def settings(folder: Path, **student: Any) -> Settings:
    """Return settings of a model `default` and of its teacher `old`."""
    usual: dict[str, Any] = {
        "task": "multiclass",
        "learner": {"kind": "rls", "device": "cpu"},
        "microbatch": {"max_size": 16, "max_delay_ms": 10},
        "checkpoint": {"every_seconds": 1000},
    }
    chosen = {"old": usual, "default": usual | {"teacher": {"model": "old", "weight": 0.3}} | student}
    models = {name: ModelSettings(**values) for name, values in chosen.items()}
    return Settings(data_dir=folder / "data", publish_dir=folder / "publish", models=models)


def open_model(chosen: Settings, name: str, source: MemorySource) -> Model:
    """Claim a model and return it."""
    lease = Lease.acquire(model_paths(chosen, name).lease, lease_seconds=1.0)
    assert lease is not None
    return trainer_process.open_model(chosen, name, lease, source=source)


def train_teacher(chosen: Settings, labelled: Sequence[bytes]) -> None:
    """Have the teacher learn; what it leaves is a publication and a checkpoint."""
    with running(open_model(chosen, "old", MemorySource({0: list(labelled)}))) as run:
        run.wait_for(learned(len(labelled)))


def unlabelled(given: Sequence[bytes], every: int) -> list[bytes]:
    """Return events of which one in so many keeps its label."""
    found = []
    for number, event in enumerate(given):
        whole = json.loads(event)
        found.append(event if number % every == 0 else json.dumps({"features": whole["features"]}).encode())
    return found


def right(run: Running) -> float:
    """Return the share of new events that a trainer's learner is right about."""
    found = 0
    fresh = [json.loads(event) for event in events(300, seed=77)]
    names = ("x", "y")
    numbers = np.array([[event["features"][name] for name in names] for event in fresh])
    cities = {"city": [event["features"]["city"] for event in fresh]}
    keys = tuple(FeatureKey(name, Kind.NUMBER) for name in names)
    predictions = run.trainer.training.learner.predictor().predict(Features(300, keys, numbers, cities))
    assert predictions.probabilities is not None
    for row, event in zip(predictions.probabilities.argmax(1), fresh, strict=True):
        found += predictions.classes[row] == event["label"]
    return found / 300


def test_a_student_learns_from_events_without_a_label(tmp_path: Path) -> None:
    """If this fails, distillation does nothing, or what nobody labelled is scored."""
    chosen = settings(tmp_path)
    train_teacher(chosen, events(600))
    stream = unlabelled(events(320, seed=5), 40)
    with running(open_model(chosen, "default", MemorySource({0: stream}))) as run:
        status = run.wait_for(learned(320))
        assert (status.unlabelled, status.scores["stream"]["count"]) == (0, 8)
        assert status.teacher is not None
        assert (status.teacher.model, status.teacher.taught, status.teacher.untaught) == ("old", 320, 0)
        assert status.teacher.version
        taught = right(run)
    alone = settings(tmp_path / "alone", teacher=None)
    with running(open_model(alone, "default", MemorySource({0: stream}))) as run:
        status = run.wait_for(learned(8))
        run.wait_for(lambda status: status.unlabelled == 312)
        assert status.teacher is None
        assert right(run) < taught - 0.05


def test_a_crash_is_followed_by_what_the_teacher_said_then(tmp_path: Path) -> None:
    """If this fails, a restart learns other things than were served under the same version numbers."""
    chosen = settings(tmp_path)
    train_teacher(chosen, events(200))
    stream = unlabelled(events(300, seed=5), 7)
    source = MemorySource({0: [*stream, Mark(PositionLost("gone")), *stream]})
    model = open_model(chosen, "default", source)
    with running(model) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    crashed, version = run.trainer.training.learner.state(), run.trainer.training.versions.current
    assert not model.store.list(), "everything must come from the journal"
    updates = [entry for entry in read_journal(model.paths.journal, -1).entries if isinstance(entry, Update)]
    lessons = [decode_lesson(update.lesson, sum(run.rows for run in update.runs)) for update in updates]
    assert all(lesson is not None for lesson in lessons)
    # The teacher has gone on since, so that it would say something else now.
    train_teacher(chosen, [*events(200), *events(300, seed=9)])
    model = open_model(chosen, "default", MemorySource({0: stream}))
    recovered = model.recovery().run()
    try:
        assert recovered.lane_version == version
        assert recovered.lane.learner is not None
        assert same_state(recovered.lane.learner.state(), crashed)
        assert recovered.totals.taught == run.trainer.training.totals.taught
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


def test_a_checkpoint_can_be_made_again_when_the_teacher_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, nobody can prove what a student stands for."""
    chosen = settings(tmp_path)
    train_teacher(chosen, events(200))
    first, second = (unlabelled(events(90, seed=seed), 5) for seed in (3, 4))
    source = MemorySource({0: [*first, EOF, *second]})
    for count in (90, 180):
        with running(open_model(chosen, "default", source)) as run:
            run.wait_for(learned(count))
    paths = model_paths(chosen, "old")
    paths.checkpoints.rename(tmp_path / "gone")
    paths.publication.rename(tmp_path / "gone too")
    store = CheckpointStore(model_paths(chosen, "default").checkpoints)
    newest, older = (found for info in store.list() if (found := store.load(info)) is not None)
    with model_to_read(chosen, "default", source) as model:
        assert remake(model, older, newest) == Remade("same", "", 90)
    # With a lesson less in the journal it is another one, and that is found.
    dropped = iter([True])
    monkeypatch.setattr(
        "service.restart.relearning.decode_lesson",
        lambda data, rows: None if next(dropped, False) else decode_lesson(data, rows),
    )
    with model_to_read(chosen, "default", source) as model:
        assert remake(model, older, newest).outcome == "differs"


def test_without_its_teacher_a_student_learns_from_labels(tmp_path: Path) -> None:
    """If this fails, a teacher that is down holds its students up, or is replaced by nothing without a word."""
    chosen = settings(tmp_path)
    stream = unlabelled(events(80, seed=5), 4)
    with running(open_model(chosen, "default", MemorySource({0: stream}))) as run:
        status = run.wait_for(lambda status: status.events_consumed == 80)
        assert sum(status.events_learned.values()) == 20
        assert status.unlabelled == 60
        assert status.teacher is not None
        assert (status.teacher.taught, status.teacher.untaught, status.teacher.version) == (0, 80, 0)
        assert "has not learned" in status.teacher.problem
    train_teacher(chosen, events(100))
    more = unlabelled(events(40, seed=6), 4)
    with running(open_model(chosen, "default", MemorySource({0: [*stream, *more]}))) as run:
        status = run.wait_for(lambda status: status.events_consumed == 120)
        assert sum(status.events_learned.values()) == 60
        assert status.teacher is not None
        assert (status.teacher.taught, status.teacher.untaught, status.teacher.problem) == (40, 80, "")


@pytest.mark.parametrize("kind", ["auto", "online"])
def test_a_stream_may_have_no_label_at_all(tmp_path: Path, kind: str) -> None:
    """If this fails, a student that has nothing but its teacher never begins, or ends at its first checkpoint."""
    chosen = settings(tmp_path, learner={"kind": kind, "device": "cpu"}, checkpoint={"every_seconds": 0.05})
    stream = unlabelled(events(121), 1000)[1:]
    source = MemorySource({0: [*stream[:40], EOF, *stream[40:]]})
    with running(open_model(chosen, "default", source)) as run:
        status = run.wait_for(lambda status: status.events_consumed == 40)
        assert (sum(status.events_learned.values()), status.unlabelled, status.classes) == (0, 40, [])
    train_teacher(chosen, events(200))
    with running(open_model(chosen, "default", source)) as run:
        status = run.wait_for(lambda status: status.events_consumed == 120)
        assert (sum(status.events_learned.values()), status.unlabelled) == (80, 40)
        assert sorted(map(str, status.classes)) == ["down", "up"]
        run.wait_for(lambda status: status.checkpoint is not None and status.checkpoint.version == status.version)
        assert status.errors == []


def test_a_teacher_of_other_classes_is_refused_at_the_start(tmp_path: Path) -> None:
    """If this fails, a model learns classes that are none of its own."""
    chosen = settings(tmp_path)
    others = [event.replace(b'"up"', b'"in"').replace(b'"down"', b'"out"') for event in events(60)]
    train_teacher(chosen, others)
    source = MemorySource({0: events(40)})
    with running(open_model(settings(tmp_path, teacher=None), "default", source)) as run:
        run.wait_for(learned(40))
    model = open_model(chosen, "default", source)
    with pytest.raises(ConfigurationInvalid, match=r"teacher\.model: 'old' cannot teach this model: it has none of"):
        start_trainer(model)
    model.close()
    model.lease.release()


def test_a_stand_in_is_taught_too_and_the_learner_catches_up_with_its_teacher(tmp_path: Path) -> None:
    """If this fails, a device failure ends what observations are worth, or the learner comes back without them."""
    chosen = settings(tmp_path)
    train_teacher(chosen, events(200))
    stream = unlabelled(events(160, seed=5), 8)
    source = MemorySource({0: stream[:80]})
    with running(open_model(chosen, "default", source)) as run:
        run.wait_for(learned(80))
        drill = run.model.paths.drill
        drill.touch()
        source.append(0, *stream[80:])
        run.wait_for(lambda status: status.events_learned == {"microbatch": 80, "online": 80})
        drill.unlink()
        status = run.wait_for(lambda status: status.learner == "microbatch" and status.checkpoint is not None)
        assert status.teacher is not None
        assert (status.teacher.taught, status.teacher.untaught, status.unlabelled) == (160, 0, 0)
        assert run.trainer.training.lane.count.taught == 160


class Breaking:
    """Parameters that cannot be asked, or answer in another way than they should."""

    def __init__(self, predictions: Predictions | None) -> None:
        self._predictions = predictions

    def refresh(self) -> None:
        raise RuntimeError("no such folder")

    def predict(self, features: Features) -> tuple[Served, Predictions]:
        if self._predictions is None:
            raise RuntimeError(f"broken over {len(features)} rows")
        return Served(7, "microbatch", 0.0, None, "publication"), self._predictions


@pytest.mark.parametrize(
    ("predictions", "task", "classes", "problem"),
    [
        (None, Task.BINARY, (), "broken over 2 rows"),
        (Predictions(values=np.zeros(2)), Task.BINARY, (), "predicts numbers"),
        (Predictions(("a",), np.ones((2, 1), np.float32)), Task.REGRESSION, (), "predicts classes"),
        (Predictions(values=np.full(2, np.nan)), Task.REGRESSION, (), "no numbers"),
        (Predictions(("1", "2"), np.ones((2, 2), np.float32)), Task.MULTICLASS, (1, 2), "could not be told"),
        (Predictions(("a", "c"), np.ones((2, 2), np.float32)), Task.BINARY, ("a", "b"), "third class"),
        (Predictions(("c", "d"), np.ones((2, 2), np.float32)), Task.MULTICLASS, ("a", "b"), "none of the classes"),
    ],
)
def test_whatever_a_teacher_does_its_student_goes_on(
    tmp_path: Path, predictions: Predictions | None, task: Task, classes: tuple[Any, ...], problem: str
) -> None:
    """If this fails, one model's defect ends another one's trainer, or is learned."""
    model = open_model(settings(tmp_path), "default", MemorySource({0: []}))
    teacher = model.teacher
    assert teacher is not None
    teacher._serving = Breaking(predictions)  # type: ignore[assignment]  # it stands for what cannot be foreseen
    assert teacher.ask(Features.empty(2), task, classes) is None
    assert problem in teacher.status(0, 0).problem
    model.close()
    model.lease.release()


def test_an_observation_and_its_label_are_no_duplicates(tmp_path: Path) -> None:
    """If this fails, a label that comes after its observation was taught is thrown away."""
    chosen = settings(tmp_path, events={"dedup_window": 1000})
    train_teacher(chosen, events(100))
    whole = [{"id": f"e{number}", **json.loads(event)} for number, event in enumerate(events(20, seed=4))]
    observed = [{name: value for name, value in event.items() if name != "label"} for event in whole]
    stream = [json.dumps(event).encode() for event in (*observed, *whole, *observed, *whole)]
    with running(open_model(chosen, "default", MemorySource({0: stream}))) as run:
        status = run.wait_for(lambda status: status.events_consumed == 80)
        assert (sum(status.events_learned.values()), status.duplicates) == (40, 40)
        assert replace(run.trainer.training.lane.count, learned=40) == run.trainer.training.lane.count
