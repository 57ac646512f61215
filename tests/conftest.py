"""Fixtures that several packages' tests share."""

import gc
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from tests.support.broker import Broker, BrokerMissing, create_topic
from tests.support.processes import ENVIRONMENT


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what is no fault of ours."""
    # kafka-python 3.0.12 leaves the sockets of refused connections and failed handshakes to the garbage collector.
    for socket in (r"<socket.socket .*laddr=\('0\.0\.0\.0'", "<ssl.SSLSocket"):
        config.addinivalue_line("filterwarnings", f"ignore:unclosed {socket}:ResourceWarning")
    # A trainer that goes behind all others on a busy machine would learn once the other tests are done.
    ENVIRONMENT["HEADRACE_TRAIN__NICENESS"] = "0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several workers share the tests, leave together what shares something that takes long to start."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        # All that use the session's broker, and otherwise the tests of a file: it may have a server for them.
        chosen = getattr(getattr(item, "callspec", None), "params", {}).values()
        shares_broker = (
            "kafka_broker" in getattr(item, "fixturenames", ()) or "kafka" in chosen or "librdkafka" in chosen
        )
        item.add_marker(pytest.mark.xdist_group("broker" if shares_broker else str(item.path)))
    # What waits longest goes first, so that no worker has it left when the others are done.
    items.sort(key=lambda item: "integration" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def collected() -> Iterator[None]:
    """Have what is left to the garbage collector collected while these filters still hold."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """Yield the address of a real Kafka broker: the one that HEADRACE_TEST_KAFKA names, or one started here."""
    named = os.environ.get("HEADRACE_TEST_KAFKA")
    if named:
        yield named
        return
    broker = started_broker()
    yield broker.address
    broker.remove()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """Yield a broker of the test's own, to be stopped, killed and started again."""
    broker = started_broker()
    yield broker
    broker.remove()
    gc.collect()


@pytest.fixture
def kafka_topic(kafka_broker: str) -> Callable[..., str]:
    """Return a function that creates a topic: ``kafka_topic(partitions=1, name=None, configs=None)`` → its name."""

    def create(partitions: int = 1, name: str | None = None, configs: dict[str, str] | None = None) -> str:
        topic = name or f"test-{uuid.uuid4().hex[:12]}"
        create_topic(kafka_broker, topic, partitions, configs)
        return topic

    return create


def started_broker(
    properties: Mapping[str, str] | None = None,
    listeners: Sequence[str] = (),
    advertised: Mapping[str, str] | None = None,
) -> Broker:
    """Return a running broker, or skip the test; on CI, where there must be one, fail."""
    try:
        broker = Broker(properties, listeners, advertised)
        broker.start()
    except BrokerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI requires a Kafka broker, but {missing}")
        pytest.skip(str(missing))
    return broker
