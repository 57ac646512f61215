"""What compose.yaml tells a container engine to run, run here: the same commands and configurations, on other ports.

Kafka's own container start-up program turns the environment of the service `kafka` into the broker's settings, so what
is tested is the broker that the image would be. Host names of the containers' network become the loopback address.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.broker import KAFKA, BrokerMissing, admin, broker_jars, free_ports

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
CONFIGS: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["configs"]

# Which program of Kafka's each script of the image starts; the scripts do nothing else.
SCRIPTS = {
    "/opt/kafka/bin/kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "/opt/kafka/bin/kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
}
PATIENCE = 90.0


@dataclass
class Site:
    """Where the services run instead of in containers."""

    folder: Path
    jars: str
    moved: Mapping[str, str]

    def here(self, text: str) -> str:
        """Return `text` with the containers' addresses and folders replaced by those of this site."""
        for there, here in self.moved.items():
            text = text.replace(there, here)
        return text

    def command(self, words: list[str]) -> list[str]:
        """Return the command that stands for one of a container."""
        program, *rest = [self.here(word) for word in words]
        if program in SCRIPTS:
            return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", self.jars, SCRIPTS[program], *rest]
        return [str(Path(sys.executable).with_name(program)), *rest]

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a container's command to its end."""
        return subprocess.run(self.command(words), capture_output=True, text=True, check=False, timeout=PATIENCE)

    def start(
        self, words: list[str], name: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a container's command, its output in a file."""
        with (self.folder / f"{name}.log").open("wb") as output:
            environ = os.environ | dict(environment or {})
            return subprocess.Popen(self.command(words), stdout=output, stderr=output, env=environ, cwd=self.folder)

    def until_healthy(self, check: list[str], process: subprocess.Popen[bytes], name: str) -> None:
        """Run a health check until it succeeds, as an engine would."""
        give_up = time.monotonic() + PATIENCE
        while self.run(check).returncode != 0:
            if process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"{name} is not healthy:\n{(self.folder / f'{name}.log').read_text()[-3000:]}")
            time.sleep(0.2)


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to stop, as an engine would, and return its exit status."""
    process.terminate()
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def tools(folder: Path) -> str:
    """Return the class path of the broker and its command-line tools, which are a jar of their own."""
    group, _, version = KAFKA.split(":")
    name = f"kafka-tools-{version}.jar"
    kept = broker_jars().parent / name
    if not kept.exists():
        artifact = f"-Dartifact={group}:kafka-tools:{version}"
        command = ["mvn", "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={folder}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if result.returncode:
            raise BrokerMissing(f"Maven could not fetch Kafka's tools: {result.stdout[-1000:]}")
        (folder / name).replace(kept)
    return f"{broker_jars()}/*:{kept}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Choose free ports and empty folders for everything that compose.yaml names."""
    folder = tmp_path_factory.mktemp("compose")
    try:
        jars = tools(folder)
    except BrokerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI requires a Kafka broker, but {missing}")
        pytest.skip(str(missing))
    inside, outside, controller, api, metrics = free_ports(5)
    moved = {
        "kafka:29092": f"127.0.0.1:{inside}",
        "kafka:9093": f"127.0.0.1:{controller}",
        "localhost:29092": f"127.0.0.1:{inside}",
        "localhost:9092": f"127.0.0.1:{outside}",
        "://:29092": f"://127.0.0.1:{inside}",
        "://:9092": f"://127.0.0.1:{outside}",
        "://:9093": f"://127.0.0.1:{controller}",
        "/var/lib/kafka/data": str(folder / "kafka"),
        "/var/lib/headrace/data": str(folder / "data"),
        "/run/headrace": str(folder / "published"),
        "/etc/headrace/headrace.yaml": str(folder / "headrace.yaml"),
        "0.0.0.0": "127.0.0.1",
        "port: 8000": f"port: {api}",
        "127.0.0.1:8000": f"127.0.0.1:{api}",
        "serve:8000": f"127.0.0.1:{api}",
        "metrics_port: 9100": f"metrics_port: {metrics}",
        "127.0.0.1:9100": f"127.0.0.1:{metrics}",
    }
    site = Site(folder, jars, moved)
    (folder / "headrace.yaml").write_text(site.here(CONFIGS["headrace"]["content"]))
    return site


@pytest.fixture(scope="module")
def broker(site: Site) -> Iterator[None]:
    """Start the broker from the environment of the service `kafka`, the way that its image does."""
    defaults, final = site.folder / "defaults", site.folder / "config"
    for made in (defaults, final, site.folder / "mounted"):
        made.mkdir()
    for name in ("log4j2.yaml", "tools-log4j2.yaml", "server.properties"):
        (defaults / name).write_text("")
    environment = {name: site.here(value) for name, value in SERVICES["kafka"]["environment"].items()}
    # The image's own default; any identity would do.
    environment["CLUSTER_ID"] = "5L6g3nShT-eMCtK--X86sw"
    folders = ["--default-configs-dir", str(defaults), "--mounted-configs-dir", str(site.folder / "mounted")]
    setup = ["kafka.docker.KafkaDockerWrapper", "setup", *folders, "--final-configs-dir", str(final)]
    java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", site.jars]
    subprocess.run([*java, *setup], env=os.environ | environment, check=True, capture_output=True, timeout=PATIENCE)
    with (site.folder / "kafka.log").open("wb") as output:
        command = [*java, "kafka.Kafka", str(final / "server.properties")]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=site.folder)
    try:
        site.until_healthy(SERVICES["kafka"]["healthcheck"]["test"][1:], process, "kafka")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def topic(site: Site, broker: None) -> str:
    """Create the topic with the command of the service `topic`, and return the broker's address."""
    result = site.run(SERVICES["topic"]["command"])
    assert result.returncode == 0, result.stdout + result.stderr
    return site.here("kafka:29092")


@pytest.fixture(scope="module")
def halves(site: Site, topic: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start `headrace train` and `headrace serve` with the services' commands, and wait until both are healthy."""
    image_check = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])\n", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert image_check
    checks = {"train": SERVICES["train"]["healthcheck"]["test"][1:], "serve": json.loads(image_check[1])}
    started = {name: site.start(["headrace", *SERVICES[name]["command"]], name) for name in checks}
    try:
        for name, check in checks.items():
            site.until_healthy(check, started[name], name)
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def test_the_topic_is_created_once_with_its_partitions(site: Site, topic: str) -> None:
    """The trainer would find no topic, or `docker compose up` would fail the second time."""
    again = site.run(SERVICES["topic"]["command"])
    assert again.returncode == 0, again.stdout + again.stderr
    with admin(topic) as client:
        (described,) = client.describe_topics(["events"])
    assert len(described["partitions"]) == 4


def test_events_sent_to_the_server_are_learned_and_scraped(site: Site, halves: object) -> None:
    """The services would run beside each other without a word passing between them."""
    api = f"http://{site.here('serve:8000')}"
    events = [{"features": {"x": float(n % 2)}, "label": "odd" if n % 2 else "even"} for n in range(200)]
    answer = httpx.post(f"{api}/events", json=events, timeout=30)
    assert answer.status_code == 202, answer.text
    give_up = time.monotonic() + PATIENCE
    (target,) = yaml.safe_load(CONFIGS["prometheus"]["content"])["scrape_configs"][0]["static_configs"][0]["targets"]
    pattern = re.compile(r"^headrace_events_learned_total\{.*\} 200(\.0)?$", re.MULTILINE)
    while not pattern.search(page := httpx.get(f"http://{site.here(target)}/metrics").text):
        assert time.monotonic() < give_up, page
        time.sleep(0.1)
    predicted = httpx.post(f"{api}/predict", json={"features": {"x": 1.0}}).json()
    assert predicted["predictions"][0]["label"] == "odd"


def test_both_halves_stop_well_when_asked(halves: dict[str, subprocess.Popen[bytes]]) -> None:
    """`docker compose down` would lose what was learned last, or look like a crash."""
    # The last test of this file, for it ends them.
    assert {name: stop(process) for name, process in halves.items()} == {"train": 0, "serve": 0}
