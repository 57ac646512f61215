"""What ``headrace train`` does before it trains."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.commands.train import Beginning, train_command
from service.config import Settings, load_settings
from service.errors import ConfigurationInvalid
from service.learning import trainer_process
from service.replaying.replay_events import Roles
from service.restart.history_file import HistoryOrder


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Settings, HistoryOrder | None]]:
    """What would have begun, and been trained."""
    found: list[tuple[str, Settings, HistoryOrder | None]] = []

    def note(what: str) -> Any:
        def called(settings: Settings, name: str, history: HistoryOrder | None) -> int:
            found.append((f"{what} {name}", settings, history))
            return 0

        return called

    monkeypatch.setattr(trainer_process, "run_trainer", note("train"))
    monkeypatch.setattr(trainer_process, "begin_only", note("begin"))
    return found


def test_what_is_asked_for_is_handed_on(
    tmp_path: Path, called: list[tuple[str, Settings, HistoryOrder | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, an option is taken and does nothing."""
    monkeypatch.chdir(tmp_path)
    asked = ["--warm-start", "~/other", "--history", "past.csv", "--label", "y", "--id", "n", "--epochs", "2"]
    for end in ([], ["--exit"]):
        result = CliRunner().invoke(app, ["train", *asked, *end])
        assert result.exit_code == 0, result.output
    for what, (name, settings, history) in zip(("train", "begin"), called, strict=True):
        assert name == f"{what} default"
        assert settings.models["default"].warm_start == Path("~/other").expanduser()
        assert history == HistoryOrder(Path("past.csv"), Roles("y", "n"), 2)


def test_where_it_begins_with_nothing_an_end_without_training_does_nothing(
    called: list[tuple[str, Settings, HistoryOrder | None]],
) -> None:
    """If this fails, ``--from earliest --exit`` imports everything for nothing."""
    assert train_command(Settings(), None, Beginning(), None, leave=True) == 0
    assert not called


@pytest.mark.parametrize("said", [{"roles": Roles("y")}, {"roles": Roles(None, "n")}, {"epochs": 3}])
def test_what_says_something_of_no_history_is_refused(said: dict[str, Any]) -> None:
    """If this fails, a forgotten --history is a model that begins at nothing."""
    with pytest.raises(ConfigurationInvalid, match=r"name its file: --history"):
        train_command(Settings(), None, Beginning(**said), None, leave=True)


def test_a_warm_start_is_a_setting_too(tmp_path: Path) -> None:
    """If this fails, ``headrace up`` cannot begin with what another model has learned."""
    file = tmp_path / "headrace.yaml"
    file.write_text("models: {default: {warm_start: ~/other}}\n")
    assert load_settings(file, {}).models["default"].warm_start == Path("~/other").expanduser()
    named = load_settings(None, {"HEADRACE_MODELS__DEFAULT__WARM_START": "data/models/other"})
    assert named.models["default"].warm_start == Path("data/models/other")
