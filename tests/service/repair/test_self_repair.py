"""A learner that breaks is found before anybody is answered from it, and an earlier one comes back; all else stays."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from consumers.errors import PositionLost
from consumers.testing import Mark, MemorySource
from models.effort import FULL, Effort
from models.examples import Examples, Features, Task
from models.learner import Learner, LearnerOptions, LearnerState, LearnReport
from models.registry import create_learner, load_predictor
from service.config import Settings
from service.decoding.columns import features_from_rows
from service.durability.manifest import decode_manifest
from service.learning.model import Model
from service.monitoring.status import Status
from service.publishing.subscription import Subscription
from tests.support.streams import rows
from tests.support.training import Running, events, learned, open_model, running, same_state, settings

CANARY = {"every_updates": 2, "window": 64, "share": None}
NETWORK = Path(__file__).parents[2] / "models" / "user_networks.py"


class Breakable:
    """The real learner, whose parameters a test can spoil once, after the update that comes next."""

    spoil: Callable[[torch.Tensor], object] | None = None

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        report = self._learner.learn(examples, effort)
        spoil, Breakable.spoil = Breakable.spoil, None
        if spoil is not None:
            spoil(self._learner.expert.parameters.block)  # type: ignore[attr-defined]  # it is a network's
        return report


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    Breakable.spoil = None
    yield
    Breakable.spoil = None


def make(task: Task) -> Learner:
    return Breakable(create_learner(LearnerOptions(kind="linear", device="cpu"), task))  # type: ignore[return-value] # what it lacks is the learner's


def chosen(folder: Path, every_seconds: float = 1000.0, **more: Any) -> Settings:
    return settings(folder, canary=CANARY, checkpoint={"every_seconds": every_seconds}, **more)


def has_rolled_back(times: int) -> Callable[[Status], bool]:
    return lambda status: status.rollbacks >= times


def newest(model: Model) -> int:
    return model.store.list()[0].version


def recovered(settings: Settings, source: MemorySource) -> tuple[int, int | None, LearnerState, int]:
    """Return version, origin, state and events of what a restart comes to."""
    model = open_model(settings, source, make)
    found = model.recovery().run()
    try:
        assert found.lane.learner is not None
        assert found.version == found.lane_version
        return found.version, found.restored_from, found.lane.learner.state(), found.lane.learned
    finally:
        found.lane.close()
        model.close()
        model.lease.release()


@pytest.mark.parametrize(
    "spoil", [lambda block: block.fill_(torch.nan), lambda block: block[0].mul_(-50)], ids=["nan", "wild"]
)
def test_a_broken_learner_is_never_served_and_an_earlier_one_goes_on(
    tmp_path: Path, spoil: Callable[[torch.Tensor], object]
) -> None:
    """If this fails, one bad update spoils all answers until somebody notices."""
    config, source = chosen(tmp_path), MemorySource({0: events(320)})
    with running(open_model(config, source, make)) as run:
        run.wait_for(learned(320))
    good = newest(run.model)
    with running(open_model(config, source, make)) as run:
        before = run.wait_for(lambda status: status.state == "idle")
        Breakable.spoil = spoil
        source.append(0, *events(640, first=320))
        status = run.wait_for(lambda status: has_rolled_back(1)(status) and learned(960)(status))
        assert status.rollbacks == 1
        assert status.events_learned == {"microbatch": 960}
        assert sum(status.lag.values()) == 0
        assert any(f"version {good}" in error.message for error in status.errors)
        assert status.version == before.version + status.updates["microbatch"] - before.updates["microbatch"] + 1
        assert status.canary is not None
        assert status.canary.verdict == "good"
        points = features_from_rows([{"x": 2.0, "y": 2.0, "city": "Oslo"}, {"x": -2.0, "y": -2.0, "city": "Rome"}])
        _, served = Subscription(run.model.paths.publication).read(
            lambda view: load_predictor(view.spec, view.arrays).predict(points)
        )
        assert served.probabilities is not None
        assert [served.classes[place] for place in served.probabilities.argmax(1)] == ["up", "down"]
    verdict = decode_manifest(run.model.store.list()[0].path).service["canary"]["verdict"]
    assert verdict == "good"


STREAM = events(608)


def crash_after_a_rollback(config: Settings) -> Running:
    """Learn, break, go on, and crash."""
    source = MemorySource({0: []})
    for goal in (160, 320):  # two good checkpoints
        source.append(0, *STREAM[goal - 160 : goal])
        with running(open_model(config, source, make)) as run:
            run.wait_for(learned(goal))
    with running(open_model(config, source, make)) as run:
        source.append(0, *STREAM[320:368])
        run.wait_for(learned(368))
        Breakable.spoil = lambda block: block[0].mul_(-50)
        source.append(0, *STREAM[368:528])
        run.wait_for(lambda status: has_rolled_back(1)(status) and learned(528)(status))
        source.append(0, *STREAM[528:], Mark(PositionLost("gone")))
        with pytest.raises(PositionLost):
            run.wait_for(learned(10**6))
    return run


@pytest.mark.parametrize("every_seconds", [1000.0, 0.05], ids=["before the next checkpoint", "after it"])
def test_a_crash_after_a_rollback_comes_back_to_the_same_parameters(tmp_path: Path, every_seconds: float) -> None:
    """If this fails, a version number stands for two sets of parameters once a learner has broken."""
    config = chosen(tmp_path, every_seconds)
    run = crash_after_a_rollback(config)
    training, store = run.trainer.training, run.model.store
    assert training.totals.rollbacks == 1
    kept = store.list()
    # Without the newest checkpoints, too: from the one that came back, and from one that is still older.
    for info in (None, *kept[:-1]):
        if info is not None:
            info.path.unlink()
        version, _, state, count = recovered(config, MemorySource({0: list(STREAM)}))
        assert version == training.versions.current
        assert same_state(state, training.learner.state())
        assert count == training.lane.learned == 608


def test_a_poisoned_network_of_a_users_own_is_rolled_back_and_learns_on(tmp_path: Path) -> None:
    """If this fails, what no gradient can undo, such as a buffer that became infinite, stays for ever."""
    learner = {"kind": f"{NETWORK}:Poisoned", "device": "cpu"}
    config, source = chosen(tmp_path, 0.2, learner=learner), MemorySource({0: events(320)})
    with running(open_model(config, source)) as run:
        run.wait_for(lambda status: status.checkpoint is not None and learned(320)(status))
        features = {f"poison {number}": number for number in range(40)} | {"x": 0.0}
        poison = json.dumps({"features": features, "label": "up"}).encode()
        source.append(0, poison, *events(319, first=320))
        status = run.wait_for(lambda status: has_rolled_back(1)(status) and learned(640)(status))
        assert status.events_learned == {"microbatch": 640}
        assert run.trainer.training.learner.try_out(Features.empty(1)).finite
    assert (canary := run.status().canary) is not None
    assert canary.verdict == "good"


def test_a_learning_rate_that_makes_it_explode_never_reaches_anybody(tmp_path: Path) -> None:
    """If this fails, one wrong setting after a restart spoils the answers of a model that was good."""
    source = MemorySource({0: events(320)})
    with running(open_model(chosen(tmp_path), source)) as run:
        run.wait_for(learned(320))
    good = run.trainer.training.versions.current
    wild = {"kind": "linear", "device": "cpu", "optimizer": "auto", "learning_rate": 1e6}
    with running(open_model(chosen(tmp_path, learner=wild), source)) as run:
        source.append(0, *events(160, first=320))
        run.wait_for(learned(480))
        status = run.wait_for(lambda status: status.state == "idle")
        assert status.rollbacks > 0
        assert status.restored_from is None or status.restored_from >= good
    assert decode_manifest(run.model.store.list()[0].path).service["canary"]["verdict"] == "good"


def test_a_concept_that_flips_is_no_breakage(tmp_path: Path) -> None:
    """If this fails, a stream that changes all at once is learned, thrown away, and learned again without end."""
    stream = rows("elec2")[:6000]
    swapped = dict(zip(labels := sorted({label for _, label in stream}), reversed(labels), strict=True))
    flipped = [*stream[:3000], *((features, swapped[label]) for features, label in stream[3000:])]
    values = [json.dumps({"features": features, "label": label}).encode() for features, label in flipped]
    config = settings(
        tmp_path,
        learner={"kind": "mlp", "device": "cpu"},
        microbatch={"max_size": 64, "max_delay_ms": 1000, "adaptive": False},
        canary=CANARY | {"window": 256},
        checkpoint={"every_seconds": 0.1},
    )
    with running(open_model(config, MemorySource({0: values}))) as run:
        status = run.wait_for(learned(6000), 60)
    assert status.rollbacks == 0
    assert {decode_manifest(info.path).service["canary"]["verdict"] for info in run.model.store.list()} == {"good"}


def test_nothing_broken_goes_into_a_checkpoint(tmp_path: Path) -> None:
    """If this fails, what breaks between two looks of the canary is what the next restart begins with."""
    rarely = CANARY | {"every_updates": 10_000}
    config = settings(tmp_path, canary=rarely, checkpoint={"every_seconds": 0.1})
    source = MemorySource({0: events(320)})
    with running(open_model(config, source, make)) as run:
        run.wait_for(lambda status: learned(320)(status) and status.checkpoint is not None)
        Breakable.spoil = lambda block: block[0].mul_(-50)
        source.append(0, *events(160, first=320))
        status = run.wait_for(lambda status: has_rolled_back(1)(status) and learned(480)(status))
        assert status.events_learned == {"microbatch": 480}
    kept = [decode_manifest(info.path).service["canary"]["verdict"] for info in run.model.store.list()]
    assert set(kept) == {"good"}
