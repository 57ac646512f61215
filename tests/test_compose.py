"""compose.yaml and the Dockerfile, as far as they can be judged without a container engine.

What their commands do is tested in ``integration/test_compose_commands.py``.
"""

import json
import re
import ssl
import subprocess
import sys
import threading
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import load_settings
from tests.support.broker import KAFKA
from tests.support.certificates import make_certificates

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
INSTRUCTIONS = [line.partition(" ")[::2] for line in DOCKERFILE.splitlines() if line]


def arguments(instruction: str) -> list[str]:
    """Return what follows each `instruction` of the Dockerfile, in order."""
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def headrace_settings(tmp_path: Path) -> Any:
    """Return the configuration of the Headrace services, loaded as they load it."""
    path = tmp_path / "headrace.yaml"
    path.write_text(COMPOSE["configs"]["headrace"]["content"])
    return load_settings(path, {})


def test_it_follows_the_compose_specification() -> None:
    """``docker compose up`` would refuse the file."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(ROOT / "compose.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_name_in_it_means_something() -> None:
    """A service would wait for, or mount, something that is declared nowhere."""
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert named <= COMPOSE["volumes"].keys()
        assert {config["source"] for config in service.get("configs", ())} <= COMPOSE["configs"].keys()


def test_whoever_is_waited_for_can_be_waited_for() -> None:
    """A service would wait for ever for a health that nobody checks, or for the end of one that never ends."""
    checked_by_image = {name for name, service in SERVICES.items() if service["image"] == "headrace:local"}
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name] or name in checked_by_image
            else:
                assert condition["condition"] == "service_completed_successfully"
                assert SERVICES[name]["restart"] == "no"


def test_nothing_is_offered_beyond_this_machine() -> None:
    """A broker and an API without a password would be open to the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_both_halves_share_data_and_parameters(tmp_path: Path) -> None:
    """The server would never see what the trainer publishes, or parameters would be written to a disk."""
    settings = headrace_settings(tmp_path)
    mounts = dict(volume.split(":") for volume in SERVICES["train"]["volumes"])
    assert SERVICES["train"]["volumes"] == SERVICES["serve"]["volumes"]
    assert mounts == {"data": str(settings.data_dir), "published": str(settings.resolved_publish_dir())}
    assert COMPOSE["volumes"]["published"]["driver_opts"]["type"] == "tmpfs"


def test_the_memory_for_parameters_belongs_to_the_images_user() -> None:
    """The trainer could not write into the memory that it publishes in."""
    uid = re.search(r"useradd --uid (\d+)", DOCKERFILE)
    assert uid
    assert f"uid={uid[1]}," in COMPOSE["volumes"]["published"]["driver_opts"]["o"]


def test_there_is_time_to_stop_well(tmp_path: Path) -> None:
    """The engine would kill the trainer in the middle of its last checkpoint."""
    grace = int(SERVICES["train"]["stop_grace_period"].removesuffix("s"))
    assert grace > headrace_settings(tmp_path).shutdown_seconds


def test_the_topic_that_is_made_is_the_one_that_is_learned(tmp_path: Path) -> None:
    """The trainer would wait for a topic, or ask a broker, that is not there."""
    settings = headrace_settings(tmp_path)
    command = SERVICES["topic"]["command"]
    assert command[command.index("--topic") + 1] == settings.models["default"].topic
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{settings.kafka.bootstrap_servers}," in advertised
    assert command[command.index("--bootstrap-server") + 1] == settings.kafka.bootstrap_servers


def test_the_broker_is_the_one_that_the_tests_know() -> None:
    """Users would run a broker that Headrace was never tested against."""
    assert SERVICES["kafka"]["image"].partition(":")[2] == KAFKA.rpartition(":")[2]
    assert SERVICES["topic"]["image"] == SERVICES["kafka"]["image"]


def test_prometheus_scrapes_the_server_and_only_it(tmp_path: Path) -> None:
    """Nothing would be scraped, or everything twice: the server's page holds the trainer's counters already."""
    settings = headrace_settings(tmp_path)
    config = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    assert config.keys() == {"global", "scrape_configs"}
    assert re.fullmatch(r"\d+s", config["global"]["scrape_interval"])
    (job,) = config["scrape_configs"]
    assert job == {"job_name": "headrace", "static_configs": [{"targets": [f"serve:{settings.serve.port}"]}]}
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:{settings.serve.port}:{settings.serve.port}"]


def test_a_container_can_do_no_more_than_it_must() -> None:
    """Whoever got into the service could write programs, take rights, or reach more than its own data."""
    ours = [service for service in SERVICES.values() if service["image"] == "headrace:local"]
    assert len(ours) == 2
    (made,) = [each for each in arguments("RUN") if "useradd" in each]
    uid = re.search(r"useradd --uid (\d+)", made)
    assert uid is not None
    for service in ours:
        assert service["user"].split(":")[0] == uid[1]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & service.keys()
        assert [place.partition(":")[0] for place in service["tmpfs"]] == ["/tmp"]
        assert all("noexec" in place for place in service["tmpfs"])
        assert {volume.partition(":")[0] for volume in service["volumes"]} == {"data", "published"}


def test_the_image_runs_as_nobody_in_particular() -> None:
    """Whoever broke out of the service would be root, with a compiler at hand."""
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert "USER headrace" in final
    assert not re.search(r"apt-get|pip install|uv |hatchling|gcc", final)
    for name in ("train", "serve"):
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["read_only"]


def test_the_image_is_asked_for_its_health(tmp_path: Path) -> None:
    """An engine would not notice a server that hangs."""
    (check,) = arguments("HEALTHCHECK")
    assert f"127.0.0.1:{headrace_settings(tmp_path).serve.port}/health/live" in check
    assert arguments("ENTRYPOINT") == ['["headrace"]']


class Healthy(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_check_of_health_finds_a_server_with_and_without_tls(tmp_path: Path, tls: bool) -> None:
    """A server under TLS would be taken for dead, or one that is gone for healthy."""
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    if tls:
        certificates = make_certificates(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    (check,) = arguments("HEALTHCHECK")
    _, program, code = json.loads(check[check.index("CMD") + 3 :])
    command = [sys.executable, program, code.replace(":8000/", f":{server.server_port}/")]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    server.shutdown()
    thread.join()
    server.server_close()
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_what_the_image_copies_gets_into_the_build() -> None:
    """The build would fail on a file that is missing or ignored."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    kept = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    for copied in arguments("COPY"):
        sources = [] if copied.startswith("--from") else copied.split()[:-1]
        assert all((ROOT / source).exists() for source in sources)
        assert set(sources) <= kept
    assert any(fnmatch("tests", pattern) for pattern in patterns)
