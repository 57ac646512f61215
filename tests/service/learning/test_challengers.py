"""Challengers in a whole trainer, over the embedded log: served by who is promoted, and the same after a restart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from consumers.log import LogSink
from consumers.source import NewRecord
from models.contest import Contest
from models.effort import FULL, Effort
from models.examples import Examples, Task
from models.learner import Learner, LearnerOptions, LearnReport
from models.registry import create_contest, create_learner
from service.config import Settings
from service.durability.journal_format import Decision
from service.durability.journal_reading import read_journal
from service.durability.lease import Lease
from service.errors import OwnershipLost
from service.learning.model import Model
from service.operating.command_table import CommandTable
from service.restart.remaking import model_to_read, remake
from service.wiring import commands_path, log_path, make_source
from tests.support.serving import serving_here
from tests.support.training import Running, events, learned, open_model, running, same_state, settings

IDLE = {"kind": "linear", "learning_rate": 1e-9, "device": "cpu"}
ABLE = {"learner": {"kind": "linear", "learning_rate": 0.01, "device": "cpu"}}
LAST = {"learner": {"kind": "online"}}
ITSELF = {"promote": "when-significant", "hold_events": 400, "begin_after": 64}


def chosen(folder: Path, contest: dict[str, Any], **challengers: Any) -> Settings:
    """Return settings of an idle champion with challengers."""
    return settings(
        folder,
        task="multiclass",
        learner=IDLE,
        challengers=challengers,
        contest=contest,
        checkpoint={"every_seconds": 1000.0, "keep": 20},
    )


def append(config: Settings, messages: Sequence[bytes]) -> None:
    """Append events to the embedded log."""
    sink = LogSink(log_path(config, "events"))
    sink.append([NewRecord(message) for message in messages])
    sink.close()


def opened(config: Settings, **more: Any) -> Model:
    """Claim the model, which reads the embedded log."""
    return open_model(config, make_source(config, "default"), **more)


def crash(run: Running) -> tuple[Contest, int]:
    """End a trainer as a death does, without a checkpoint; return the learner, and the version that it had served."""
    successor = Lease.acquire(run.model.paths.lease, lease_seconds=0.0)
    assert successor is not None
    with pytest.raises(OwnershipLost):
        run.wait_for(lambda _: False)
    successor.release()
    return contest_of(run), run.trainer.training.versions.current


def contest_of(run: Running) -> Contest:
    """Return the learner of a trainer."""
    learner = run.trainer.training.learner
    assert isinstance(learner, Contest)
    return learner


def assert_recovered(config: Settings, expected: Contest, version: int) -> None:
    """Assert that what a start recovers is what there was, bit for bit."""
    model = opened(config)
    recovered = model.recovery().run()
    try:
        assert recovered.version == recovered.lane_version == version
        learner = recovered.lane.learner
        assert isinstance(learner, Contest)
        assert learner.champion == expected.champion
        one, other = learner.state(), expected.state()
        assert json.dumps(one.meta, sort_keys=True) == json.dumps(other.meta, sort_keys=True)
        assert same_state(one, other)
        assert learner.take_news() == [], "what was told once is not told again"
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


def order(config: Settings, name: str) -> int:
    """Have a challenger be promoted."""
    return CommandTable(commands_path(config)).order("default", "promote", {"challenger": name}, "somebody")


def test_a_promotion_survives_a_restart_in_the_middle_and_a_crash_after_it(tmp_path: Path) -> None:
    """A restart would serve another learner than before, or other parameters under the same version."""
    config = chosen(tmp_path, ITSELF, able=ABLE)
    append(config, events(320))
    with running(opened(config)) as run:
        run.wait_for(learned(320))
    before = contest_of(run).contenders["able"].pair
    assert before is not None
    assert before.since is not None, "it waits to be promoted, and goes on waiting after the restart"
    append(config, events(500, first=320))
    with running(opened(config)) as run:
        status = run.wait_for(learned(820))
        contest, version = crash(run)
    assert status.contest is not None
    assert (status.contest["champion"], status.contest["promotions"]) == ("able", 1)
    assert any("able is the champion now" in error.message for error in run.status().errors)
    assert_recovered(config, contest, version)
    append(config, events(50, first=820))
    with running(opened(config)) as run:
        run.wait_for(learned(870))
    with model_to_read(config, "default") as model:
        newest, older = (model.store.load(info) for info in model.store.list()[:2])
        assert newest is not None
        assert older is not None
        champions = [each.learner.meta["contest"]["champion"] for each in (older, newest)]
        assert champions == ["learner", "able"]
        assert remake(model, older, newest).outcome == "same", "checkpoints can be made again out of the log"


def test_a_promotion_by_hand_is_served_at_once_journaled_and_reversible(tmp_path: Path) -> None:
    """An operator could not switch, or not back; or a restart would forget what was decided."""
    config = chosen(tmp_path, {"begin_after": 64, "answers": {"able": 0.5, "learner": 0.25}}, able=ABLE)
    append(config, events(320))
    with running(opened(config)) as run, serving_here(config) as client:
        run.wait_for(learned(320))
        assert_shared(client, "able", "learner", 0.5)
        answer = client.post("/v1/models/default/challengers/able/promote")
        assert answer.status_code == 200, answer.text
        assert {"champion": "able", "former": "learner", "changed": True}.items() <= answer.json().items()
        assert (
            client.post("/predict", json={"features": {"x": 1.0}}).json()["model_version"]
            == (answer.json()["model_version"])
        )
        assert_shared(client, "learner", "able", 0.25)
        run.wait_for(lambda status: status.contest is not None and status.contest["promotions"] == 1)
        state = client.get("/v1/models/default").json()["contest"]
        assert (state["champion"], state["configured"], state["promotions"]) == ("able", "learner", 1)
        assert not client.post("/challengers/able/promote").json()["changed"]
        refused = client.post("/challengers/nobody/promote")
        assert (refused.status_code, refused.json()["field"]) == (404, "challenger")
        assert 'headrace_contender_champion{contender="able",model="default"} 1.0' in client.get("/metrics").text
        append(config, events(64, first=320))
        run.wait_for(learned(384))
        contest, version = crash(run)
    assert_recovered(config, contest, version)
    with running(opened(config)) as run:
        order(config, "learner")
        run.wait_for(lambda status: status.contest is not None and status.contest["champion"] == "learner")
        assert run.status().version == version + 1
        # What is not there any more, or never was, changes nothing.
        assert CommandTable(commands_path(config)).find("default", order(config, "learner")) is not None


def test_a_rollback_goes_back_over_a_promotion_which_has_been_one(tmp_path: Path) -> None:
    """A version that was gone back to would be answered by another learner than it was; or a count would fall."""
    config = chosen(tmp_path, {"begin_after": 64}, able=ABLE)
    append(config, events(128))
    with running(opened(config)) as run:
        run.wait_for(learned(128))
    with running(opened(config)) as run:
        good = run.model.store.list()[0].version
        order(config, "able")
        run.wait_for(lambda status: status.contest is not None and status.contest["champion"] == "able")
        back = {"checkpoint": good, "then": None}
        CommandTable(commands_path(config)).order("default", "rollback", back, "somebody")
        run.wait_for(lambda status: status.contest is not None and status.contest["champion"] == "learner")
        append(config, events(32, first=128))
        assert run.wait_for(learned(160)).restored_from is None
        contest, version = crash(run)
    assert contest.promotions == 1
    assert_recovered(config, contest, version)


def assert_shared(client: httpx.Client, challenger: str, champion: str, share: float) -> None:
    """Assert that a challenger answers its share of the requests, each id by the same one on every way."""
    instances = [{"id": f"a{number}", "features": {"x": 0.1 * number, "y": 1.0}} for number in range(200)]
    answers = client.post("/predict", json={"instances": instances}).json()["predictions"]
    arms = {answer["id"]: answer["arm"] for answer in answers}
    assert set(arms.values()) == {challenger, champion}
    assert abs(sum(arm == challenger for arm in arms.values()) / 200 - share) < 0.12
    for instance in instances[:20]:
        (alone,) = client.post("/predict", json={**instance, "features": {"y": 3.0}}).json()["predictions"]
        assert alone["arm"] == arms[instance["id"]]
    tensors = {"parameters": {"ids": ["a0", "a1"]}, "inputs": [
        {"name": "x", "shape": [2], "datatype": "FP64", "data": [3.2, 4.1]}
    ]}  # fmt: skip
    infer = client.post("/v2/models/default/infer", json=tensors).json()
    assert infer["parameters"]["arms"] == [arms["a0"], arms["a1"]]


def test_without_a_split_answers_name_nobody(tmp_path: Path) -> None:
    """Clients of a model without a split would see fields that mean nothing."""
    config = chosen(tmp_path, {}, able=ABLE)
    append(config, events(64))
    with running(opened(config)) as run, serving_here(config) as client:
        run.wait_for(learned(64))
        (answer,) = client.post("/predict", json={"id": "a", "features": {"x": 1.0}}).json()["predictions"]
        assert set(answer) == {"label", "probabilities", "id"}
        assert run.trainer.training.learner.published(flush=True).spec["learner"] == "microbatch"


class Unlucky:
    """A learner that fails at its fifth microbatch, though it need not: for want of memory, say."""

    def __init__(self, learner: Learner) -> None:
        self._learner, self._calls = learner, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """Learn, or fail."""
        self._calls += 1
        if self._calls == 5:
            raise MemoryError
        return self._learner.learn(examples, effort)


def test_what_was_put_out_by_chance_is_put_out_again_after_a_crash(tmp_path: Path) -> None:
    """A replay would go on with a challenger that was gone, and could promote it under versions that were served."""
    config = chosen(tmp_path, {"begin_after": 0}, able=ABLE, last=LAST)

    def make(options: LearnerOptions, task: Task) -> Learner:
        learner = create_learner(options, task)
        return cast(Learner, Unlucky(learner)) if options.learning_rate == 0.01 else learner

    def unlucky(task: Task) -> Learner:
        model = config.models["default"]
        return create_contest(model.contenders, model.contest.rules(), task, make)

    append(config, events(320))
    with running(opened(config, make_learner=unlucky)) as run:
        status = run.wait_for(learned(320))
        contest, version = crash(run)
    assert status.contest is not None
    assert status.contest["contenders"]["able"]["role"] == "out"
    assert status.contest["contenders"]["last"]["role"] == "challenger"
    assert any("able was put out: it raised MemoryError" in error.message for error in run.status().errors)
    entries = read_journal(run.model.paths.journal, -1).entries
    (decision,) = (each for each in entries if isinstance(each, Decision) and each.kind == "put_out")
    assert decision.data["challenger"] == "able"
    assert_recovered(config, contest, version)


def test_challengers_come_and_go_between_starts(tmp_path: Path) -> None:
    """A model that has learned could get no challengers, or would have to begin anew to be rid of them."""
    for number, names in enumerate(((), ("able",), ("able", "last"), ("last",), ())):
        config = chosen(tmp_path, {}, **{name: {"able": ABLE, "last": LAST}[name] for name in names})
        append(config, events(64, first=64 * number))
        with running(opened(config)) as run:
            run.wait_for(learned(64 * (number + 1)))
        learner = run.trainer.training.learner
        found = set(learner.contenders) if isinstance(learner, Contest) else {"learner"}
        assert found == {"learner", *names}
        if isinstance(learner, Contest) and "able" in names:
            assert learner.contenders["able"].rows == 64 * number
