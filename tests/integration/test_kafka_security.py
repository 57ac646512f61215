"""TLS and SASL settings reach the client, against a broker that insists on both."""

import gc
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.errors import ConsumerError
from consumers.kafka import KafkaOptions, KafkaSink, KafkaSource
from consumers.source import Position
from tests.conftest import started_broker
from tests.support.broker import Broker, create_topic
from tests.support.topics import numbered, read, values

PASSWORD = "a store's password"
LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="wonderland";'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a key store for the broker, and its certificate for clients."""
    folder = tmp_path_factory.mktemp("tls")
    store, pem = folder / "broker.p12", folder / "broker.pem"
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("keytool, which comes with Java, is not installed")
    common = [keytool, "-keystore", str(store), "-storepass", PASSWORD, "-alias", "broker"]
    key = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-validity", "2"]
    subprocess.run([*common, *key], check=True, capture_output=True)
    subprocess.run([*common, "-exportcert", "-rfc", "-file", str(pem)], check=True, capture_output=True)
    return store, pem


@pytest.fixture(scope="module")
def secured(certificate: tuple[Path, Path]) -> Iterator[Broker]:
    """Yield a broker with a SASL_SSL listener that knows alice, and a topic."""
    broker = started_broker(
        secure="SASL_SSL",
        properties={
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
            "ssl.keystore.location": str(certificate[0]),
            "ssl.keystore.password": PASSWORD,
            "ssl.keystore.type": "PKCS12",
        },
    )
    create_topic(broker.address, "events", 1)
    yield broker
    broker.remove()


@pytest.fixture
def options(secured: Broker, certificate: tuple[Path, Path]) -> KafkaOptions:
    return KafkaOptions(
        bootstrap_servers=secured.secure_address,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="alice",
        sasl_password="wonderland",
        ssl_cafile=str(certificate[1]),
        connect_timeout=5.0,
    )


def test_events_go_through_tls_and_sasl(options: KafkaOptions) -> None:
    """Else nobody with a secured cluster can use it."""
    sink = KafkaSink(options, "events")
    assert sink.append(numbered(1, 2, 3))
    sink.close()
    reader = KafkaSource(options, "events", group_id="secured").open({})
    assert values(read(reader, 3)) == [1, 2, 3]
    reader.commit({0: Position(3)})
    reader.close()


@pytest.mark.parametrize(
    "wrong",
    [{"sasl_password": "looking glass"}, {"ssl_cafile": None}, {"security_protocol": "SSL"}],
    ids=["password", "authority", "protocol"],
)
def test_wrong_credentials_are_named_and_not_shown(options: KafkaOptions, wrong: dict[str, Any]) -> None:
    """Else a wrong password is a traceback, a hang, or a line in the logs that shows it."""
    mistaken = replace(options, connect_timeout=2.0, **wrong)
    with pytest.raises(ConsumerError, match="credentials") as caught:
        KafkaSource(mistaken, "events").open({})
    gc.collect()
    assert str(mistaken.sasl_password) not in str(caught.value)
