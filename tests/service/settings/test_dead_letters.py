"""The section ``dead_letters``: defaults that work, and errors that say what would be right."""

from pathlib import Path

import pytest

from service.config import Settings, load_settings
from service.errors import ConfigurationInvalid
from service.wiring import dead_letter_topic


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "headrace.yaml"
    path.write_text(text)
    return load_settings(path, {})


def of_a_model(section: str, topic: str = "events") -> str:
    return f"source: {{kind: kafka}}\nmodels: {{default: {{topic: {topic}, dead_letters: {section}}}}}\n"


@pytest.mark.parametrize(
    ("section", "topic"),
    [("{}", "events.dead-letters"), ("{topic: refused}", "refused"), ("{topic: null}", None)],
)
def test_letters_go_where_the_settings_say(tmp_path: Path, section: str, topic: str | None) -> None:
    """Without it, letters are forwarded to another topic than the one that is watched, or against the settings."""
    assert dead_letter_topic(settings(tmp_path, of_a_model(section)), "default") == topic


def test_the_embedded_log_has_no_topic_for_them() -> None:
    """Without it, a model without Kafka looks for a broker."""
    assert dead_letter_topic(Settings(), "default") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (of_a_model("{topic: events}"), "'events' is the topic that is learned from: name another one"),
        (of_a_model("{}", "e" * 240), "name one, or say null"),
        (of_a_model("{topic: a b}"), "models.default.dead_letters.topic"),
        ("models: {default: {dead_letters: {topic: refused}}}", "is of no use with the embedded log"),
        (of_a_model("{keep: 0}"), "models.default.dead_letters.keep"),
        (of_a_model("{keep_bytes: 10}"), "models.default.dead_letters.keep_bytes"),
        (of_a_model("{pause_share: 0}"), "models.default.dead_letters.pause_share"),
        (of_a_model("{pause_window: 0}"), "models.default.dead_letters.pause_window"),
        (of_a_model("{pause: 3}"), "models.default.dead_letters.pause"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Without it, a wrong setting is found out when the first letter comes."""
    with pytest.raises(ConfigurationInvalid) as error:
        settings(tmp_path, text)
    assert said in str(error.value)
    assert str(error.value).count("\n") <= 1
