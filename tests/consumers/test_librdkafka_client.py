"""Our settings in librdkafka's words, and its errors in ours; no broker is needed for that."""

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka import Consumer, KafkaError, KafkaException

from consumers.errors import ConsumerError
from consumers.kafka_options import KafkaOptions
from consumers.librdkafka_client import Meaning, make_consumer, meaning_of
from consumers.librdkafka_options import client_settings

NOBODY = "127.0.0.1:1"

SECURED: dict[str, dict[str, Any]] = {
    "PLAIN": {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"},
    "SCRAM": {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "ssl_check_hostname": False},
    "certificate": {"security_protocol": "SSL", "ssl_certfile": "one.pem", "ssl_keyfile": "one.key"},
    "both in one file": {"security_protocol": "SSL", "ssl_certfile": "both.pem", "ssl_cafile": "authority.pem"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a certificate, its key, both in one file, and their authority."""
    authority = trustme.CA()
    issued = authority.issue_cert("somebody.test")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "one.pem")
    issued.private_key_pem.write_to_path(tmp_path / "one.key")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return tmp_path


@pytest.mark.parametrize("secured", SECURED.values(), ids=SECURED)
def test_librdkafka_takes_our_settings(folder: Path, secured: dict[str, Any]) -> None:
    """If this fails, a setting has a name or a value that librdkafka does not know, and nobody can connect with it."""
    files = {name: str(folder / value) for name, value in secured.items() if name.endswith("file")}
    options = KafkaOptions(NOBODY, sasl_username="alice", sasl_password="hunter2", **(secured | files))
    Consumer(client_settings(options, None)).close()


def test_nothing_is_reset_committed_or_created() -> None:
    """If this fails, librdkafka skips what retention took, or creates a topic that was mistyped."""
    settings = client_settings(KafkaOptions(), "group")
    assert settings["auto.offset.reset"] == "error"
    assert not any(
        settings[name] for name in ("enable.auto.commit", "enable.auto.offset.store", "allow.auto.create.topics")
    )
    assert settings["isolation.level"] == "read_committed"
    assert settings["check.crcs"]


def test_settings_of_librdkafkas_own_win() -> None:
    """If this fails, what a cluster needs that we do not know of cannot be set."""
    assert client_settings(KafkaOptions(librdkafka={"check.crcs": False}), None)["check.crcs"] is False


def test_a_token_lives_for_as_long_as_it_says(tmp_path: Path) -> None:
    """If this fails, librdkafka goes on with a token that has run out, or asks for one again and again."""
    file = tmp_path / "token"
    # {"alg":"none"} and {"exp": 2000000000}, as JSON web tokens have them.
    file.write_text("eyJhbGciOiJub25lIn0.eyJleHAiOiAyMDAwMDAwMDAwfQ.")
    options = KafkaOptions(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", oauth_token_file=str(file))
    token, until = client_settings(options, None)["oauth_cb"]("")
    assert token == file.read_text()
    assert until == pytest.approx(2_000_000_000, abs=10)
    file.write_text("no web token")
    assert client_settings(options, None)["oauth_cb"]("")[1] > time.time() + 100


def test_wrong_settings_are_named_without_secrets() -> None:
    """If this fails, a wrong setting is retried for ever, or shows the password in the log."""
    options = KafkaOptions(
        NOBODY, security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="a", sasl_password="hunter2"
    )
    for wrong in ({"no.such": 1}, {"check.crcs": "perhaps"}, {"fetch.wait.max.ms": -7}):
        with pytest.raises(ConsumerError, match="not right for librdkafka") as caught:
            make_consumer(KafkaOptions(**{**_fields(options), "librdkafka": wrong}), "events", None)
        assert next(iter(wrong)) in str(caught.value)
        assert "hunter2" not in str(caught.value)


def _fields(options: KafkaOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__slots__}


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an installation without the extra ends with a traceback."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "consumers.librdkafka_client")
    with pytest.raises(ConsumerError, match=r"headrace\[librdkafka\]"):
        importlib.import_module("consumers.librdkafka_client")


@pytest.mark.parametrize(
    ("code", "partition", "meaning"),
    [
        (KafkaError._AUTO_OFFSET_RESET, 0, Meaning.LOST),
        (KafkaError._LOG_TRUNCATION, 0, Meaning.LOST),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 0, Meaning.REFUSED),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, 0, Meaning.PASSING),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, -1, Meaning.PASSING),
        (KafkaError._ALL_BROKERS_DOWN, -1, Meaning.PASSING),
        (KafkaError._BAD_MSG, 0, Meaning.ODD),
        (KafkaError._BAD_COMPRESSION, 0, Meaning.ODD),
        (KafkaError._NOT_IMPLEMENTED, 0, Meaning.ODD),
        (KafkaError.MSG_SIZE_TOO_LARGE, 0, Meaning.ODD),
    ],
)
def test_errors_mean_what_they_mean(code: int, partition: int, meaning: Meaning) -> None:
    """If this fails, events are passed over in silence, or something that goes by stops a trainer."""
    assert meaning_of(KafkaError(code), partition) is meaning


def test_a_broker_that_is_not_there_shows_in_its_own_words() -> None:
    """If this fails, an error shows numbers and brackets instead of what it says."""
    from consumers.librdkafka_client import words_of

    assert words_of(KafkaException(KafkaError(KafkaError._TRANSPORT, "nobody there"))) == "nobody there"
    assert words_of(ValueError("plain")) == "plain"
