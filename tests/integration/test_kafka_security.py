"""TLS, certificates, passwords and tokens reach the client, against a broker that insists on them."""

import base64
import gc
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from consumers.errors import ConsumerError
from consumers.kafka import KafkaOptions, KafkaSink, KafkaSource
from consumers.source import Position
from tests.conftest import started_broker
from tests.support.broker import Broker, admin, create_topic
from tests.support.topics import numbered, read, values

STORE_PASSWORD = "a store's password"
BY_PASSWORD = {"PLAIN": "wonderland", "SCRAM-SHA-512": "looking glass"}
LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Secured:
    """A broker that insists on credentials, and a folder with everybody's certificates."""

    broker: Broker
    folder: Path

    def options(self, mechanism: str) -> KafkaOptions:
        """Return options that let a client in: by certificate alone, or by `mechanism`."""
        own = KafkaOptions(
            bootstrap_servers=self.broker.addresses["SSL" if mechanism == "certificate" else "SASL_SSL"],
            security_protocol="SASL_SSL",
            sasl_mechanism=mechanism,
            sasl_username="alice",
            sasl_password=BY_PASSWORD.get(mechanism),
            ssl_cafile=str(self.folder / "broker.pem"),
            connect_timeout=5.0,
        )
        if mechanism == "OAUTHBEARER":
            return replace(own, oauth_token_file=str(self.folder / "token"))
        if mechanism == "certificate":
            own = replace(own, security_protocol="SSL", sasl_mechanism=None)
            return replace(own, ssl_certfile=str(self.folder / "ours.pem"), ssl_keyfile=str(self.folder / "ours.key"))
        return own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the broker's key store and certificate, and our own, a stranger's, and a token."""
    found = tmp_path_factory.mktemp("secrets")
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("keytool, which comes with Java, is not installed")
    common = [keytool, "-keystore", str(found / "broker.p12"), "-storepass", STORE_PASSWORD, "-alias", "broker"]
    key = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-validity", "2"]
    subprocess.run([*common, *key], check=True, capture_output=True)
    subprocess.run(
        [*common, "-exportcert", "-rfc", "-file", str(found / "broker.pem")], check=True, capture_output=True
    )
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(found / "clients.pem")
    for name, authority in (("ours", ours), ("stranger", theirs)):
        issued = authority.issue_cert(f"{name}.test")
        issued.cert_chain_pems[0].write_to_path(found / f"{name}.pem")
        issued.private_key_pem.write_to_path(found / f"{name}.key")
    (found / "token").write_text(token(300))
    (found / "expired").write_text(token(-300))
    return found


def token(seconds: float) -> str:
    """Return a token that is good for so long; the broker is told to take unsigned ones."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": "alice", "iat": now - 600, "exp": now + seconds})
    return "".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() + "." for part in parts)


@pytest.fixture(scope="module")
def secured(folder: Path) -> Iterator[Secured]:
    """Yield a broker that knows alice by password, by token and by certificate, and a topic on it."""
    broker = started_broker(
        listeners=["SASL_SSL", "SSL"],
        properties={
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{LOGIN}.plain.PlainLoginModule required user_alice="{BY_PASSWORD["PLAIN"]}";'
            ),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": (
                f'{LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
            ),
            # Sessions end with their tokens, as production clusters have it.
            "listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms": "3600000",
            "ssl.keystore.location": str(folder / "broker.p12"),
            "ssl.keystore.password": STORE_PASSWORD,
            "ssl.keystore.type": "PKCS12",
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.ssl.ssl.truststore.type": "PEM",
            "listener.name.ssl.ssl.truststore.location": str(folder / "clients.pem"),
        },
    )
    create_topic(broker.address, "events", 1)
    user = UserScramCredentialUpsertion("alice", ScramMechanism.SCRAM_SHA_512, BY_PASSWORD["SCRAM-SHA-512"])
    with admin(broker.address) as client:
        assert client.alter_user_scram_credentials([user]) == {"alice": None}
    yield Secured(broker, folder)
    broker.remove()


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"])
def test_events_go_through(secured: Secured, mechanism: str, client: str) -> None:
    """Else nobody with a cluster that is secured in this way can use it."""
    options, topic = replace(secured.options(mechanism), client=client), f"events-{mechanism}-{client}"
    create_topic(secured.broker.address, topic, 1)
    sink = KafkaSink(options, topic)
    assert sink.append(numbered(1, 2, 3))
    sink.close()
    reader = KafkaSource(options, topic, group_id=f"secured-{mechanism}").open({})
    assert values(read(reader, 3)) == [1, 2, 3]
    reader.commit({0: Position(3)})
    reader.close()


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
def test_a_token_that_runs_out_is_replaced_without_a_break(secured: Secured, tmp_path: Path, client: str) -> None:
    """Else reading ends with every token's life, or a renewed one is not seen before a restart."""
    file = tmp_path / "token"
    file.write_text(token(4))
    topic = f"renewed-{client}"
    create_topic(secured.broker.address, topic, 1)
    options = replace(secured.options("OAUTHBEARER"), oauth_token_file=str(file), unreachable_after=3.0, client=client)
    reader = KafkaSource(options, topic).open({})
    file.write_text(token(300))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        assert list(reader.poll(10, 0.5)) == []
    sink = KafkaSink(options, topic)
    assert sink.append(numbered(1))
    sink.close()
    assert values(read(reader, 1)) == [1]
    reader.close()


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "password": ("PLAIN", {"sasl_password": "hunter2"}, "refuses the credentials of alice .*check sasl_username"),
    "SCRAM password": (
        "SCRAM-SHA-512",
        {"sasl_password": "hunter2"},
        "refuses the credentials of alice .*check sasl_username",
    ),
    "mechanism": (
        "SCRAM-SHA-512",
        {"sasl_mechanism": "SCRAM-SHA-256"},
        "not take sasl_mechanism SCRAM-SHA-256: set one",
    ),
    "token": (
        "OAUTHBEARER",
        {"oauth_token_file": "expired"},
        "refuses our token: check that the token has not run out",
    ),
    "token's file": ("OAUTHBEARER", {"oauth_token_file": "nothing"}, "oauth_token_file .*nothing holds no token"),
    "authority": ("PLAIN", {"ssl_cafile": None}, "not trusted .self-signed certificate.: set ssl_cafile"),
    # A client that does not ask to be let in is cut off without a word: no use in waiting long for one.
    "protocol": (
        "PLAIN",
        {"security_protocol": "SSL", "connect_timeout": 2.0},
        "certificates and credentials are right",
    ),
    "no TLS": (
        "certificate",
        {"security_protocol": "PLAINTEXT"},
        r"\(PLAINTEXT\).* security_protocol|not speak PLAINTEXT",
    ),
    "no certificate": (
        "certificate",
        {"ssl_certfile": None, "ssl_keyfile": None},
        "refuses a client without a certificate: set ssl_certfile",
    ),
    "certificate": (
        "certificate",
        {"ssl_certfile": "stranger.pem", "ssl_keyfile": "stranger.key"},
        "refuses ssl_certfile .*stranger.pem: set ssl_certfile",
    ),
    "key": ("certificate", {"ssl_keyfile": "stranger.key"}, "stranger.key is not the key of ssl_certfile"),
}


@pytest.mark.parametrize(("mechanism", "wrong", "told"), WRONG.values(), ids=WRONG)
def test_wrong_credentials_are_named_and_not_shown(
    secured: Secured, mechanism: str, wrong: dict[str, Any], told: str
) -> None:
    """Else a wrong password is a traceback, a hang, a riddle, or a line in the logs that shows it."""
    files = {name: str(secured.folder / value) for name, value in wrong.items() if name.endswith("file") and value}
    mistaken = replace(secured.options(mechanism), **(wrong | files))
    with pytest.raises(ConsumerError, match=told) as caught:
        KafkaSource(mistaken, "events").open({})
    gc.collect()
    message = str(caught.value)
    assert "\n" not in message
    assert not any(secret in message for secret in ("hunter2", *BY_PASSWORD.values(), token(300)[:30]))
