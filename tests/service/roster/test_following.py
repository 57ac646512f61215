"""A trainer follows its model: other settings, or its end."""

import threading
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.durability.claiming import claimed
from service.roster import following as following_module
from service.roster.changing import Changes
from service.roster.conditions import Conditions
from service.roster.following import Following
from service.roster.roster import Roster

ANY = Conditions()


def settings(folder: Path) -> Settings:
    given: dict[str, Any] = {"metrics_port": 9100, "lease_seconds": 0.2}
    return Settings.model_validate({"data_dir": folder / "data", "publish_dir": folder / "publish", "train": given})


def test_a_trainer_sees_other_settings_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a trainer learns on as it was told at its start, or for a model that is no more."""
    monkeypatch.setattr(following_module, "_EVERY", 0.01)
    chosen = settings(tmp_path)
    changes = Changes(Roster(chosen))
    # As a spare one is: it has read the configuration before there was such a model.
    following = Following(chosen, "shop")
    assert not following.exists()
    changes.put("shop", {"topic": "one"}, ANY)
    assert following.exists()
    first = following.owned()
    assert first is not None
    assert (first.models["shop"].topic, first.train.metrics_port) == ("one", 0), "the port is a declared model's"
    changed = threading.Event()
    with following.looking(changed.set):
        assert not changed.wait(0.1)
        changes.put("shop", {"topic": "two"}, ANY)
        assert changed.wait(20)
        second = following.owned()
        assert second is not None
        assert second.models["shop"].topic == "two"
        changed.clear()
        assert not changed.wait(0.1)
        changes.remove("shop", ANY)
        assert changed.wait(20)
    assert following.owned() is None


def test_whoever_owns_a_removed_model_next_clears_it_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a removal whose server died is never finished, or a standby trains what is no more."""
    monkeypatch.setattr("service.roster.changing._PATIENCE", 0.0)
    chosen = settings(tmp_path)
    roster = Roster(chosen)
    changes = Changes(roster)
    changes.put("shop", {}, ANY)
    with claimed(chosen, "shop"):
        assert not changes.remove("shop", ANY)
        following = Following(chosen, "shop")
        assert following.exists(), "there is something to do yet"
        assert following.owned() is None
    assert not roster.wanted()
    assert not Following(chosen, "shop").exists()


def test_a_declared_model_is_as_its_trainer_was_told(tmp_path: Path) -> None:
    """If this fails, what a command says of a model (`--warm-start`) is forgotten when it begins."""
    told = settings(tmp_path)
    own = told.models["default"].model_copy(update={"warm_start": tmp_path})
    told = told.model_copy(update={"models": {"default": own}})
    found = Following(told, "default").owned()
    assert found is not None
    assert (found.models["default"].warm_start, found.train.metrics_port) == (tmp_path, 9100)
