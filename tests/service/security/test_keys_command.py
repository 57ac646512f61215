"""``headrace keys``, and the key with which this project's own clients call a server."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from service.cli import app
from service.config import Settings, client_key, load_settings
from service.errors import ConfigurationInvalid, KeysInvalid
from service.monitoring.live_state import LiveState
from service.replaying.replay_http import HttpTarget
from service.security.keys import KeyRing
from service.settings.messages import field_types
from tests.support.answering import answering


def keys(*arguments: str) -> str:
    """Run ``headrace keys ARGUMENTS`` and return what it prints for programs."""
    result = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_is_made_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator would have to write the file by hand."""
    monkeypatch.chdir(tmp_path)
    Path("headrace.yaml").write_text("security: {api_keys_file: secrets/keys.txt}")
    made = json.loads(keys("add", "shop", "--role", "ingest", "--role", "predict", "--json"))
    assert (made["name"], made["roles"]) == ("shop", ["predict", "ingest"])
    plain = keys("add", "ops", "--role", "operate", "--file", "secrets/keys.txt").strip()
    ring = KeyRing(tmp_path / "secrets" / "keys.txt")
    for key, name in ((made["key"], "shop"), (plain, "ops")):
        found = ring.find(key.encode())
        assert found is not None
        assert found.name == name
    assert keys("list") == "shop  predict,ingest\nops  operate\n"
    assert made["key"] not in keys("list", "--json")
    keys("remove", "shop")
    assert [each["name"] for each in json.loads(keys("list", "--json"))["keys"]] == ["ops"]


def test_a_wrong_order_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo would make a key that opens nothing, or a traceback."""
    monkeypatch.chdir(tmp_path)
    for arguments, said in (
        (("add", "shop", "--role", "admin", "--file", "k"), "predict, ingest, operate"),
        (("add", "shop", "--file", "k"), "--role predict"),
        (("list",), "security.api_keys_file"),
    ):
        with pytest.raises(KeysInvalid, match=said):
            keys(*arguments)
    assert not (tmp_path / "k").exists()


def test_where_a_clients_key_comes_from(tmp_path: Path) -> None:
    """A client could not show its key, or would send something else in its place."""
    file = tmp_path / "key"
    file.write_text("headrace_abc\n")
    assert client_key(file, {"HEADRACE_API_KEY": "other"}) == "headrace_abc"
    assert client_key(None, {"HEADRACE_API_KEY": " headrace_abc "}) == "headrace_abc"
    assert client_key(None, {}) is None
    assert load_settings(None, {"HEADRACE_API_KEY": "headrace_abc"}) == Settings()  # it is no setting
    for text in ("", "two words", "ümlaut"):
        file.write_text(text)
        with pytest.raises(ConfigurationInvalid, match="--api-key-file"):
            client_key(file, {})
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        client_key(tmp_path / "nowhere", {})


def test_our_own_clients_send_the_key() -> None:
    """A replay to a server that asks for keys would be refused."""
    with answering() as server:
        target = HttpTarget(server.url, key="headrace_abc")
        target.check()
        target.send([b'{"label":1}'])
        target.close()
        with LiveState(server.url, key="headrace_abc"):
            pass
        with_key = list(server.asked)
        with LiveState(server.url):
            pass
    assert len(with_key) >= 3
    assert {asked.headers.get("authorization") for asked in with_key} == {"Bearer headrace_abc"}
    assert all("authorization" not in asked.headers for asked in server.asked[len(with_key) :])


def secrets_among(annotation: object, path: str = "") -> list[str]:
    """Return the settings whose names speak of a secret, and whose type would show it."""
    found: list[str] = []
    for name, kind in (field_types(annotation) or {}).items():
        inner = [kind, *getattr(kind, "__args__", ())]
        secret = any(word in name for word in ("password", "secret", "token"))
        if secret and not name.endswith(("_file", "_url")) and SecretStr not in inner:
            found.append(f"{path}{name}")
        for each in inner:
            found += secrets_among(each, f"{path}{name}.")
    return found


def test_every_setting_that_is_a_secret_hides_itself() -> None:
    """A password would be in ``headrace config show``, or in the traceback of an error."""
    assert secrets_among(Settings) == []


def test_a_secret_stays_out_of_everything_that_is_shown(tmp_path: Path) -> None:
    """Whoever looks at the settings, or at what is wrong with them, would see the password."""
    secret = "open-sesame-4711"
    for name in ("certificate", "key"):
        (tmp_path / name).touch()
    environment = {
        "HEADRACE_SERVE__TLS_CERTFILE": str(tmp_path / "certificate"),
        "HEADRACE_SERVE__TLS_KEYFILE": str(tmp_path / "key"),
        "HEADRACE_SERVE__TLS_KEY_PASSWORD": secret,
    }
    settings = load_settings(None, environment)
    for shown in (repr(settings), str(settings.serve), settings.model_dump_json(), repr(settings.model_dump())):
        assert secret not in shown
    with pytest.raises(ConfigurationInvalid) as told:
        load_settings(None, environment | {"HEADRACE_SERVE__TLS_CERTFILE": "", "HEADRACE_SERVE__PORT": "x"})
    assert secret not in str(told.value)
    with pytest.raises(ConfigurationInvalid) as told:
        load_settings(None, {"HEADRACE_SERVE__TLS_KEY_PASSWORD": secret})
    assert "tls_certfile" in str(told.value)
    assert secret not in str(told.value)
