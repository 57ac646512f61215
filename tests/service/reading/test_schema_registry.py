"""The schema registry over HTTP: what it says is kept, what it does not say is waited for, secrets stay secret."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from service.config import load_settings
from service.decoding.event_problems import Problem
from service.errors import RegistryUnavailable
from service.reading.schema_files import SchemaFiles
from service.reading.schema_registry import SchemaRegistry
from service.settings.schema_registry import SchemaRegistrySettings
from tests.support.certificates import Certificates, make_certificates
from tests.support.schema_registry import NUMBER, Registry, record_of, registry

SCHEMA = record_of(y="int")


@pytest.fixture
def known() -> Iterator[Registry]:
    with registry() as found:
        found.register(SCHEMA)
        yield found


def asking(known: Registry, folder: Path, **settings: Any) -> SchemaRegistry:
    """Return who asks `known`, and keeps what it says in `folder`."""
    return SchemaRegistry(SchemaRegistrySettings(url=known.url, **settings), SchemaFiles(folder, known.url))


def test_a_schema_is_asked_for_once_and_outlives_the_registry(known: Registry, tmp_path: Path) -> None:
    """Fails when a restart cannot decode what was decoded before, because the registry is away or has forgotten."""
    asked = asking(known, tmp_path)
    first = asked.find(NUMBER)
    assert not isinstance(first, Problem)
    known.answer = (404, b'{"error_code":40403}')
    assert asked.find(NUMBER) == first
    assert asking(known, tmp_path).find(NUMBER) == first
    assert known.asked == [f"/schemas/ids/{NUMBER}"]


def test_a_damaged_file_is_asked_for_again(known: Registry, tmp_path: Path) -> None:
    """Fails when events are decoded by half a schema."""
    first = asking(known, tmp_path).find(NUMBER)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"int", b"long"))
    assert asking(known, tmp_path).find(NUMBER) == first
    assert len(known.asked) == 2


def test_ids_of_another_registry_are_others(known: Registry, tmp_path: Path) -> None:
    """Fails when messages are read by the schema that had their id elsewhere."""
    asking(known, tmp_path).find(NUMBER)
    with registry() as other:
        other.register(record_of(z="string"))
        assert asking(other, tmp_path).find(NUMBER) != asking(known, tmp_path).find(NUMBER)


def test_an_unknown_id_is_said_to_be_so_and_asked_for_again_later(known: Registry, tmp_path: Path) -> None:
    """Fails when a flood of unknown ids floods the registry, or one that was registered late is never seen."""
    now = [0.0]
    settings = SchemaRegistrySettings(url=known.url)
    asked = SchemaRegistry(settings, SchemaFiles(tmp_path, known.url), clock=lambda: now[0])
    for _ in range(3):
        found = asked.find(NUMBER + 1)
        assert isinstance(found, Problem)
        assert found.reason == "schema"
        assert str(NUMBER + 1) in found.detail
    assert len(known.asked) == 1
    known.register(SCHEMA)
    now[0] += 60
    assert not isinstance(asked.find(NUMBER + 1), Problem)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, b"busy"), "503"),
        ((401, b'{"error_code":40101}'), "check username and password"),
        ((403, b""), "refuses us with 403"),
        ((404, b"<html>"), "not as a schema registry does"),
        ((404, b'{"error_code":404}'), "404"),
        ((200, b"[]"), "not as a schema registry does"),
        ((200, b'{"schema":"' + b"x" * 5_000_000 + b'"}'), "bytes"),
        ((302, b""), "302"),
        ((429, b""), "429"),
    ],
    ids=str,
)
def test_whatever_is_no_answer_is_waited_for(
    known: Registry, tmp_path: Path, answer: tuple[int, bytes], said: str
) -> None:
    """Fails when a registry in trouble turns good events into dead letters."""
    known.answer = answer
    with pytest.raises(RegistryUnavailable, match=said) as caught:
        asking(known, tmp_path).find(NUMBER)
    assert "schema_registry.url" in str(caught.value)
    assert caught.value.retry_after > 0


def test_a_registry_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Fails when a registry that restarts turns good events into dead letters."""
    with registry() as gone:
        pass
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        asking(gone, tmp_path).find(NUMBER)


def test_a_disk_that_takes_nothing_is_waited_for(known: Registry, tmp_path: Path) -> None:
    """Fails when events are decoded that a restart could not decode again."""
    (tmp_path / "schemas").write_text("no folder")
    with pytest.raises(RegistryUnavailable, match="cannot be kept"):
        asking(known, tmp_path / "schemas").find(NUMBER)


def test_what_is_no_avro_is_a_letter(known: Registry, tmp_path: Path) -> None:
    """Fails when a topic of Protobuf ends the reader, or is read as something else."""
    number = known.register("syntax", schemaType="PROTOBUF")
    found = asking(known, tmp_path).find(number)
    assert isinstance(found, Problem)
    assert "PROTOBUF" in found.detail
    broken = asking(known, tmp_path).find(known.register("{"))
    assert isinstance(broken, Problem)
    assert broken.reason == "schema"


def test_references_are_resolved(known: Registry, tmp_path: Path) -> None:
    """Fails when a schema that uses the names of others cannot be read by."""
    inner = known.name("inner", {**record_of("Inner", x="double"), "namespace": "a.b"})
    middle = known.name("middle", {**record_of("Middle", i="a.b.Inner"), "namespace": "a"}, references=[inner])
    number = known.register(record_of(y="int", m="a.Middle", i="a.b.Inner"), references=[middle, inner])
    found = asking(known, tmp_path).find(number)
    assert not isinstance(found, Problem)
    lacking = asking(known, tmp_path).find(known.register(record_of(m="a.Middle")))
    assert isinstance(lacking, Problem)
    assert "a.Middle" in lacking.detail


def test_basic_and_bearer(known: Registry, tmp_path: Path) -> None:
    """Fails when a registry that asks who we are cannot be used."""
    known.authorization = "Basic dXNlcjpwYXNz"
    with pytest.raises(RegistryUnavailable) as caught:
        asking(known, tmp_path, username="user", password=SecretStr("wrong-secret")).find(NUMBER)
    assert "wrong-secret" not in str(caught.value)
    assert not isinstance(
        asking(known, tmp_path / "1", username="user", password=SecretStr("pass")).find(NUMBER), Problem
    )
    known.authorization = "Bearer the-token"
    assert not isinstance(asking(known, tmp_path / "2", bearer_token=SecretStr("the-token")).find(NUMBER), Problem)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_both_ways(certificates: Certificates, tmp_path: Path) -> None:
    """Fails when a registry behind TLS cannot be used, or one that nobody vouches for is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.load_cert_chain(certificates.server, certificates.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    with registry(context) as known:
        known.register(SCHEMA)
        ours = {"ssl_cafile": certificates.authority, "ssl_certfile": certificates.client}
        assert not isinstance(asking(known, tmp_path, **ours).find(NUMBER), Problem)
        for wrong in ({}, {"ssl_cafile": certificates.authority}):
            with pytest.raises(RegistryUnavailable, match="cannot be reached"):
                asking(known, tmp_path / "other", **wrong).find(NUMBER)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Fails when `config show`, a log line or an error prints a password."""
    environ = {
        "HEADRACE_SCHEMA_REGISTRY__URL": "https://registry:8081/",
        "HEADRACE_SCHEMA_REGISTRY__USERNAME": "user",
        "HEADRACE_SCHEMA_REGISTRY__PASSWORD": "the-password",
    }
    settings = load_settings(None, environ)
    assert settings.schema_registry.url == "https://registry:8081"
    assert "the-password" not in repr(settings)
    assert "the-password" not in json.dumps(settings.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://user:secret@host"}, "must not hold a password"),
        ({"url": "registry:8081"}, "pattern"),
        ({"username": "x", "password": "y"}, "url is missing"),
        ({"url": "http://r", "username": "x"}, "belong together"),
        ({"url": "http://r", "username": "x", "password": "y", "bearer_token": "z"}, "either"),
        ({"url": "http://r", "ssl_cafile": "/no/such/file"}, "no such file"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], said: str) -> None:
    """Fails when a wrong setting shows itself only once messages come."""
    with pytest.raises(ValidationError, match=said):
        SchemaRegistrySettings.model_validate(settings)
