"""Models are added, changed and removed by whoever may, within what the configuration allows; and never half."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from consumers.log import LogSink
from consumers.source import NewRecord
from service.config import Settings
from service.durability.claiming import claimed
from service.durability.files import Files
from service.errors import RequestInvalid
from service.learning.trainer_process import open_model
from service.operating.command_table import CommandTable
from service.roster import changing as changing_module
from service.roster.changing import Added, Changes
from service.roster.conditions import Conditions
from service.roster.entries import Entries
from service.roster.roster import Roster
from service.wiring import commands_path, log_path, model_paths
from tests.support.training import running

ANY = Conditions()
SMALL = {
    "topic": "shop",
    "learner": {"kind": "linear", "device": "cpu"},
    "microbatch": {"max_size": 16, "max_delay_ms": 10, "adaptive": False},
}


def settings(folder: Path, **sections: Any) -> Settings:
    models = {"default": {}, "other": {"topic": "others", "task": "binary"}}
    given = {"data_dir": folder / "data", "publish_dir": folder / "publish", "models": models} | sections
    return Settings.model_validate({"train": {"lease_seconds": 0.2}, **given})


def changes(folder: Path, **sections: Any) -> tuple[Changes, Roster]:
    roster = Roster(settings(folder, **sections))
    return Changes(roster), roster


def refused(changing: Changes, name: str, given: dict[str, Any], conditions: Conditions = ANY) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        changing.put(name, given, conditions)
    return caught.value


def mixed(expert: Any) -> dict[str, Any]:
    """Return the settings of a mixture with some expert."""
    return {"kind": "auto", "network": {"experts": ["leaves", expert]}}


def learn(chosen: Settings, name: str, events: int) -> int:
    """Send events to a model, have its trainer learn them, and return the version that this made."""
    topic = chosen.models[name].topic
    with closing(LogSink(log_path(chosen, topic))) as sink:
        rows = [{"features": {"x": each % 7}, "label": "ab"[each % 2]} for each in range(events)]
        sink.append([NewRecord(json.dumps(row).encode()) for row in rows])
    with claimed(chosen, name) as lease, running(open_model(chosen, name, lease)) as run:
        return run.wait_for(lambda status: status.epoch == lease.epoch and status.lag == {"0": 0}).version


def test_what_was_added_is_there_for_everybody_and_after_a_restart(tmp_path: Path) -> None:
    """If this fails, a model is gone with the process that added it."""
    changing, roster = changes(tmp_path)
    added = changing.put("shop", SMALL, ANY, "ops")
    assert added.created
    assert Roster(settings(tmp_path)).now().models["shop"] == roster.now().models["shop"]
    assert roster.now().models["shop"].topic == "shop"
    assert roster.now().added == {"shop": added.revision}
    assert list(roster.now().declared().models) == ["default", "other"]
    again = changing.put("shop", SMALL, ANY)
    assert again == Added(again.settings, added.revision, created=False), "nothing was changed"
    changed = changing.put("shop", SMALL | {"checkpoint": {"keep": 2}}, ANY)
    assert not changed.created
    assert changed.revision != added.revision
    assert Roster(settings(tmp_path)).now().models["shop"].checkpoint.keep == 2


def test_what_is_wrong_is_said_as_the_configuration_says_it(tmp_path: Path) -> None:
    """If this fails, whoever adds a model must guess which setting was wrong."""
    changing, roster = changes(tmp_path)
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"lerner": {}}, "lerner", "there is no such setting; did you mean models.shop.learner?"),
        ({"microbatch": {"max_size": 0}}, "microbatch.max_size", "0 is not right: must be at least 1"),
        ({"learner": {"kind": "mpl"}}, "learner.kind", "must be one of"),
        ({"topic": "../x"}, "topic", "must match"),
        ({"teacher": {"model": "nobody"}}, "teacher.model", "there is no model 'nobody'"),
        ({"task": "regression", "learner": {"loss": "ce"}}, "", "learner.loss ce does not fit task regression"),
    ]
    for given, field, words in wrong:
        problem = refused(changing, "shop", given)
        assert (problem.status, problem.field) == (422, field), given
        assert words in str(problem)
    both = refused(changing, "shop", {"task": "x", "topic": 3, "learner": {"device": "tpu"}})
    assert len(str(both).splitlines()) == 2, "all that is wrong is said at once; a number is a name too"
    for name in ("Shop", "a b", "", "..", "x" * 65, "../escaped"):
        assert refused(changing, name, {}).field == "model"
    assert not roster.now().added


def test_the_configuration_wins_for_its_names(tmp_path: Path) -> None:
    """If this fails, an operator's file says one thing and the service does another."""
    changing, _ = changes(tmp_path)
    assert refused(changing, "default", {}).status == 409
    with pytest.raises(RequestInvalid, match="the configuration declares") as caught:
        changing.remove("default", ANY)
    assert caught.value.status == 409
    changing.put("shop", SMALL, ANY)
    later, roster = changes(tmp_path, models={"shop": {"topic": "mine"}})
    assert roster.now().models["shop"].topic == "mine"
    assert not roster.now().added
    assert "declares" in roster.problems["shop"]
    assert refused(later, "shop", SMALL).status == 409


def test_what_a_remote_caller_must_not_name(tmp_path: Path) -> None:
    """If this fails, whoever may operate the service runs code on its machine, or reads any topic of the cluster."""
    code = tmp_path / "network.py"
    code.write_text("raise SystemExit('this must never be run')")
    changing, _ = changes(tmp_path, source={"kind": "kafka"}, added_models={"topics": ["shop*"], "most": 2})
    for given, field in (
        ({"topic": "shop", "learner": {"kind": f"{code}:Network"}}, "learner.kind"),
        ({"topic": "shop", "warm_start": str(tmp_path)}, "warm_start"),
        ({"topic": "shop", "learner": {"kind": "mlp", "network": {"weights": "w"}}}, "learner.network.weights"),
        ({"topic": "shop", "learner": mixed("mine.py:Net")}, "learner.network.experts.1"),
        ({"topic": "shop", "learner": mixed({"kind": "mine.py:Net"})}, "learner.network.experts.1.kind"),
        ({"topic": "shop", "challengers": {"b": {"learner": {"kind": f"{code}:N"}}}}, "challengers.b.learner.kind"),
        ({"topic": "payroll"}, "topic"),
        ({"topic": "shop", "dead_letters": {"topic": "payroll"}}, "dead_letters.topic"),
    ):
        problem = refused(changing, "shop", given)
        assert (problem.status, problem.field) == (422, field)
    changing.put("one", SMALL | {"learner": mixed("linear") | {"device": "cpu"}}, ANY)
    changing.put("two", SMALL, ANY)
    assert "most" in str(refused(changing, "three", SMALL))
    changing.put("two", SMALL | {"checkpoint": {"keep": 2}}, ANY)
    trusting, roster = changes(tmp_path / "trusting", added_models={"allow_paths": True})
    trusting.put("mine", {"learner": {"kind": f"{code}:Network"}, "warm_start": str(tmp_path)}, ANY)
    assert roster.now().models["mine"].warm_start == tmp_path
    _, wary = changes(tmp_path / "trusting")
    assert "mine" not in wary.now().models, "what was allowed once is not any more"
    assert "names a file" in wary.problems["mine"]
    closed, _ = changes(tmp_path / "closed", added_models={"enabled": False})
    assert refused(closed, "shop", SMALL).status == 403


def test_conditions_keep_two_operators_from_undoing_each_other(tmp_path: Path) -> None:
    """If this fails, the second of two who changed the same settings wins without either knowing."""
    changing, _ = changes(tmp_path)
    assert refused(changing, "shop", SMALL, Conditions(match="*")).status == 412
    added = changing.put("shop", SMALL, Conditions(none_match="*"))
    assert refused(changing, "shop", SMALL, Conditions(none_match="*")).status == 412
    changed = changing.put("shop", SMALL | {"task": "binary"}, Conditions(match=f'"{added.revision}"'))
    assert refused(changing, "shop", SMALL, Conditions(match=f'"{added.revision}"')).status == 412
    with pytest.raises(RequestInvalid, match="not those of If-Match"):
        changing.remove("shop", Conditions(match=f'"{added.revision}"'))
    assert changing.remove("shop", Conditions(match=f'W/"old", "{changed.revision}"'))


def test_who_is_learned_from_cannot_go_first(tmp_path: Path) -> None:
    """If this fails, removing one model keeps another from starting ever again."""
    changing, roster = changes(tmp_path)
    changing.put("apple", SMALL | {"teacher": {"model": "other"}}, ANY)
    changing.put("zebra", SMALL | {"task": "binary"}, ANY)
    changing.put("apple", SMALL | {"teacher": {"model": "zebra"}}, ANY)
    assert roster.now().models["apple"].task == "binary", "its teacher's"
    assert Roster(settings(tmp_path)).now().models.keys() == {"default", "other", "apple", "zebra"}
    with pytest.raises(RequestInvalid, match="apple learns from zebra"):
        changing.remove("zebra", ANY)
    assert changing.remove("apple", ANY)
    assert changing.remove("zebra", ANY)


def test_what_has_learned_goes_on_or_says_why_not_and_is_kept_when_removed(tmp_path: Path) -> None:
    """If this fails, a change makes what was learned useless, or a removal loses it."""
    changing, roster = changes(tmp_path)
    changing.put("shop", SMALL, ANY)
    version = learn(roster.now(), "shop", 60)
    for given, field in (
        ({"topic": "elsewhere"}, "topic"),
        ({"learner": {"kind": "mlp"}}, "learner.kind"),
        ({"task": "regression"}, "task"),
    ):
        problem = refused(changing, "shop", SMALL | given)
        assert (problem.status, problem.field) == (409, field)
    changing.put("shop", SMALL | {"checkpoint": {"keep": 2}, "task": "multiclass"}, ANY)
    assert learn(roster.now(), "shop", 20) > version
    paths = model_paths(roster.now(), "shop")
    assert changing.remove("shop", ANY)
    assert not paths.publication.exists()
    assert "shop" not in roster.now().models
    [kept] = paths.aside.iterdir()
    assert list((kept / "checkpoints").glob("manifest-*"))
    with pytest.raises(RequestInvalid) as caught:
        changing.remove("shop", ANY)
    assert caught.value.status == 404
    # Now it may be something else altogether, and no version number comes a second time.
    assert changing.put("shop", SMALL | {"topic": "elsewhere", "learner": {"kind": "online"}}, ANY).created
    assert learn(roster.now(), "shop", 30) > version
    assert changing.remove("shop", ANY, keep=False)
    assert list(paths.aside.iterdir()) == [kept]


def test_a_removal_waits_for_the_trainer_and_for_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a trainer writes on into the folder of a model that is no more, or its removal is forgotten."""
    monkeypatch.setattr(changing_module, "_PATIENCE", 0.0)
    changing, roster = changes(tmp_path)
    changing.put("shop", SMALL, ANY)
    commands = CommandTable(commands_path(roster.now()))
    commands.order("shop", "pause", {}, "ann")
    with claimed(roster.now(), "shop"):
        assert not changing.remove("shop", ANY)
        assert "shop" not in roster.now().models
        assert "shop" in roster.wanted(), "somebody has to do the rest"
        assert refused(changing, "shop", SMALL).status == 503
    assert changing.put("shop", SMALL, ANY).created
    assert commands.pending("shop") == [], "what was ordered of the old one is not for the new one"
    commands.close()


@pytest.mark.parametrize("change", ["put", "remove"])
def test_a_change_is_there_or_not_wherever_it_is_killed(tmp_path: Path, change: str) -> None:
    """If this fails, a crash leaves a model that is neither there nor gone."""
    changing, _ = changes(tmp_path)
    changing.put("shop", SMALL, ANY)
    changing.remove("shop", ANY)
    if change == "remove":
        changing.put("shop", SMALL, ANY)
    # From here on each try takes the same steps. The last ones are what matters; of those before some are enough.
    died, steps = killed_after(10_000, tmp_path, change)
    assert not died
    outcomes = {(present(tmp_path), False)}
    for step in [*range(0, steps - 6, 4), *range(max(0, steps - 6), steps)]:
        changing, roster = changes(tmp_path)
        if change == "put" and roster.wanted():
            assert changing.remove("shop", ANY)
        elif change == "remove":
            changing.put("shop", SMALL, ANY)
        died, _ = killed_after(step, tmp_path, change)
        assert died
        outcomes.add((present(tmp_path), True))
    assert (
        outcomes
        == {
            "put": {(None, True), (True, True), (True, False)},
            # Still there; to be cleared away by whoever comes next; gone.
            "remove": {(True, True), (False, True), (None, True), (None, False)},
        }[change]
    )


def present(folder: Path) -> bool | None:
    """Return whether the model is there; None where nothing is left to be done about it either."""
    _, roster = changes(folder)
    roster.now()
    assert not roster.problems
    found = Entries(folder / "data").read()
    assert found.keys() <= {"shop"}
    return found["shop"].removal is None if "shop" in found else None


def killed_after(steps: int, folder: Path, change: str) -> tuple[bool, int]:
    """Make a change in a process of its own that is killed after so many steps of writing.

    Returns whether it was, and how many steps it took where it was not.
    """
    pid = os.fork()
    if pid == 0:
        taken = [0]

        def dying(step: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                if taken[0] >= steps:
                    os.kill(os.getpid(), signal.SIGKILL)
                taken[0] += 1
                return step(*given, **named)

            return call

        for name in ("make_folder", "append", "sync", "rename", "sync_folder", "remove"):
            setattr(Files, name, dying(getattr(Files, name)))
        try:
            changing, _ = changes(folder)
            if change == "put":
                changing.put("shop", SMALL, ANY)
            else:
                changing.remove("shop", ANY)
        finally:
            os._exit(taken[0])
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status), os.WEXITSTATUS(status)
