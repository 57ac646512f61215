"""A real Apache Kafka broker for tests: KRaft mode on Java, its jars from Maven Central, no container engine needed.

One node is broker and controller at once. The jars (about 45 MB) are fetched once and kept under the user's cache
folder; everything else lives in a temporary folder, which goes with the broker.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kafka.admin import KafkaAdminClient

KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"

_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId>
  <artifactId>test-broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>{group}</groupId>
      <artifactId>{artifact}</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""

# Any sixteen bytes, in URL-safe base 64.
_CLUSTER_ID = "aGVhZHJhY2UtdGVzdGluZw"

_START_SECONDS = 90


class BrokerMissing(Exception):
    """No broker can be had on this machine; the message says why."""


class Broker:
    """One Kafka broker on free ports of the loopback interface. It can be stopped, killed and started again.

    Parameters
    ----------
    properties
        Settings of the broker beside those that it needs.
    listeners
        Names of further listeners for clients (``SASL_SSL``, ``SSL``), which `properties` must say more about.
    advertised
        Listener → ``host:port`` under which clients are told to reach it, where that is not where it listens.

    Attributes
    ----------
    address
        ``host:port`` for clients; the same after a restart.
    addresses
        Listener → the same of each further one.
    """

    def __init__(
        self,
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        advertised: Mapping[str, str] | None = None,
    ) -> None:
        self._jars = broker_jars()
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-broker-"))
        self._process: subprocess.Popen[bytes] | None = None
        port, controller_port, *others = free_ports(2 + len(listeners))
        self.address = f"127.0.0.1:{port}"
        self.addresses = {name: f"127.0.0.1:{other}" for name, other in zip(listeners, others, strict=True)}
        settings = _properties(port, controller_port, self._folder / "data") | dict(properties or {})
        settings["listeners"] += "".join(f",{name}://{address}" for name, address in self.addresses.items())
        told = {"PLAINTEXT": self.address} | self.addresses | dict(advertised or {})
        settings["advertised.listeners"] = ",".join(f"{name}://{address}" for name, address in told.items())
        self._config = self._folder / "server.properties"
        self._config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._format()

    def start(self) -> None:
        """Start the broker and wait until it answers clients."""
        with (self._folder / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command("-Xmx512m"), "kafka.Kafka", str(self._config)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )
        give_up = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                tail = (self._folder / "broker.log").read_text(errors="replace")[-2000:]
                self.remove()
                raise RuntimeError(f"the broker did not start:\n{tail}")
            time.sleep(0.1)

    def stop(self, *, kill: bool = False) -> None:
        """Stop the broker, in good order or by force; its data stay."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop the broker and delete its data."""
        self.stop(kill=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        with contextlib.suppress(Exception), admin(self.address) as client:
            return bool(client.describe_cluster()["brokers"])
        return False

    def _command(self, *options: str) -> list[str]:
        # A test broker's speed matters less than its start.
        quick = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN")
        return ["java", *options, *quick, "-cp", f"{self._jars}/*"]

    def _format(self) -> None:
        """Make the folder of the broker's data."""
        arguments = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._config)]
        command = [*self._command("-Xmx256m"), *arguments]
        result = subprocess.run(command, capture_output=True, check=False, cwd=self._folder, timeout=120)
        if result.returncode:
            self.remove()
            raise RuntimeError(f"{' '.join(arguments)} failed: {result.stderr.decode(errors='replace')[-2000:]}")


@contextlib.contextmanager
def admin(address: str) -> Iterator[KafkaAdminClient]:
    """Yield an admin client of the broker at `address`."""
    client = KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=15_000, request_timeout_ms=15_000)
    try:
        yield client
    finally:
        client.close()


def create_topic(address: str, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
    """Create a topic and wait until each of its partitions has a leader."""
    settings = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}
    with admin(address) as client:
        client.create_topics({name: settings}, timeout_ms=15_000, wait_for_metadata=True)


def delete_topic(address: str, name: str) -> None:
    """Delete a topic."""
    with admin(address) as client:
        client.delete_topics([name], timeout_ms=15_000)


def add_partitions(address: str, name: str, total: int) -> None:
    """Raise the number of a topic's partitions to `total`."""
    with admin(address) as client:
        client.create_partitions({name: total}, timeout_ms=15_000)


def _properties(port: int, controller_port: int, data: Path) -> dict[str, str]:
    """Return the configuration of a single node that is broker and controller."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL"
        ),
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # As most clusters have it: what reads must not create topics by asking for them.
        "auto.create.topics.enable": "true",
        "log.retention.check.interval.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "2",
    }


def broker_jars() -> Path:
    """Return the folder of the broker's jars, fetched by Maven where they are not there yet."""
    _require("java")
    group, artifact, version = KAFKA.split(":")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace-kafka"
    cache.mkdir(parents=True, exist_ok=True)
    jars = cache / version
    with (cache / "lock").open("w") as lock:
        # Test runs beside each other would otherwise fetch into the same folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _fetch(_POM.format(group=group, artifact=artifact, version=version), jars)
    return jars


def _fetch(pom: str, jars: Path) -> None:
    """Have Maven copy what `pom` depends on into `jars`, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
        (Path(folder) / "pom.xml").write_text(pom)
        command = [
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=jars",
        ]
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=600)
        if result.returncode:
            raise BrokerMissing(f"Maven could not fetch {KAFKA}: {result.stdout.decode(errors='replace')[-1000:]}")
        (Path(folder) / "jars").rename(jars)


def _require(program: str) -> None:
    if shutil.which(program) is None:
        raise BrokerMissing(f"{program} is not installed. Install it, or name a broker: HEADRACE_TEST_KAFKA=host:port")


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
