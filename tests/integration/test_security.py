"""The server as it faces a network: TLS, keys, floods; no secret of it comes out, and nothing else is opened."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from models.examples import Task
from service.config import LimitsSettings, SecuritySettings
from service.security.keys_file import add_key, remove_key
from tests.support.certificates import Certificates, make_certificates
from tests.support.processes import Installation, installation
from tests.support.serving import (
    as_instances,
    examples_of,
    free_port,
    publish,
    serving_process,
    serving_settings,
    taught,
)

ROOT = Path(__file__).resolve().parents[2]
EVENT = {"features": {"price": 1}, "label": "late"}
PATIENCE = 60.0


def headrace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``headrace ARGUMENTS`` to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=ROOT,
        env=kept | environment,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def trusting(certificates: Certificates) -> ssl.SSLContext:
    """Return what a client needs to believe the server."""
    return ssl.create_default_context(cafile=certificates.authority)


@contextlib.contextmanager
def secured(folder: Path, certificates: Certificates, **serve: Any) -> Iterator[Installation]:
    """Yield an installation with TLS, an encrypted private key, and a file of keys."""
    port = free_port()
    settings = {
        "port": port,
        "tls_certfile": str(certificates.server),
        "tls_keyfile": str(certificates.encrypted_key),
        "tls_key_password": certificates.password,
    }
    security = {"api_keys_file": str(folder / "keys.txt")}
    with installation(folder, serve=settings | serve, security=security) as made:
        made.http.close()
        made.http = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting(certificates), timeout=30)
        yield made


def test_a_server_under_tls_with_keys(tmp_path: Path, certificates: Certificates) -> None:
    """Whoever listens would read the keys; a removed key would stay open in some worker; or a secret be in a log."""
    with secured(tmp_path, certificates, workers=2) as place:
        key = add_key(tmp_path / "keys.txt", "shop", ["ingest"])
        place.start("serve")
        place.wait_until_ready()
        assert place.http.get("/v1/models").status_code == 401
        answer = place.http.get("/v1/models", headers={"X-API-Key": key})
        assert answer.status_code == 200
        assert "max-age" in answer.headers["strict-transport-security"]
        address = str(place.http.base_url)
        with pytest.raises(httpx.TransportError):
            httpx.get(address.replace("https", "http") + "/health/live", timeout=PATIENCE).raise_for_status()
        rows = tmp_path / "rows.csv"
        rows.write_text("price,late\n" + "".join(f"{number},{number % 2}\n" for number in range(50)))
        sent = headrace(
            *("replay", str(rows), "--label", "late", "--to", address, "--json"),
            HEADRACE_API_KEY=key,
            SSL_CERT_FILE=str(certificates.authority),
        )
        assert json.loads(sent.stdout)["accepted"] == 50, sent.stderr
        wrong = place.http.post("/events", json=EVENT, headers={"authorization": f"Bearer {key}x"})
        assert wrong.status_code == 401
        remove_key(tmp_path / "keys.txt", "shop")
        assert_refused_everywhere(place, key, trusting(certificates))
        said = [place.log("serve"), sent.stdout, sent.stderr, wrong.text]
        said += [headrace("config", "show", "--config", str(place.config)).stdout]
        said += [file.read_text(errors="replace") for file in (tmp_path / "publish").rglob("*") if file.is_file()]
    assert "changed file of keys" in said[0]
    for secret in (key, certificates.password, key.removeprefix("headrace_")[:20]):
        assert not any(secret in text for text in said)


def assert_refused_everywhere(place: Installation, key: str, trusted: ssl.SSLContext) -> None:
    """See to it that no worker takes the key after a few seconds, each connection being somebody else's."""
    until = time.monotonic() + PATIENCE
    in_turn = 0
    while in_turn < 20:
        assert time.monotonic() < until, "the key still opens the API"
        with httpx.Client(base_url=place.http.base_url, verify=trusted) as client:
            status = client.get("/v1/models", headers={"X-API-Key": key}).status_code
        in_turn = in_turn + 1 if status == 401 else 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADRACE_SERVE__TLS_KEY_PASSWORD", "wrong-password-0815", "serve.tls_key_password is wrong"),
        ("HEADRACE_SECURITY__API_KEYS_FILE", "/nowhere/keys.txt", "headrace keys add"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_shows_no_secret(
    tmp_path: Path, certificates: Certificates, name: str, value: str, said: str
) -> None:
    """Whoever mistyped a password would find it in a log, or not know what to do; and it would be tried for ever."""
    with secured(tmp_path, certificates) as place:
        (tmp_path / "keys.txt").touch(0o600)
        ended = headrace("serve", "--config", str(place.config), **{name: value})
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "0815" not in ended.stdout + ended.stderr
    assert certificates.password not in ended.stdout + ended.stderr


# -- a flood


ROWS = as_instances(examples_of(Task.BINARY, rows=500, seed=7).features)
ONE = json.dumps(ROWS[0]).encode()
MANY = json.dumps({"instances": ROWS}).encode()
Answers = list[tuple[int, bytes, float]]


async def ask(port: int, key: str, body: bytes) -> tuple[int, bytes, float]:
    """Ask once over a connection of its own, for health where there is no body; return status, body, and seconds."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    call = "POST /predict" if body else "GET /health/ready"
    head = f"{call} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    answer = await reader.read(-1)
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2], time.perf_counter() - began


async def keep_asking(port: int, key: str, body: bytes, count: int) -> Answers:
    """Ask `count` times, one after the other."""
    return [await ask(port, key, body) for _ in range(count)]


async def flood(port: int, keys: Sequence[str], body: bytes, count: int, modest: str) -> list[Answers]:
    """Have many clients ask at once, beside a probe and a modest client."""
    others = [keep_asking(port, key, body, count) for key in keys]
    return await asyncio.gather(keep_asking(port, "", b"", 20), keep_asking(port, modest, ONE, 20), *others)


FLOODS = {
    # Thirty connections of one key, which may ask 30 times a second.
    "rate": (SecuritySettings(requests_per_second=30), LimitsSettings(), ["greedy"] * 30, ONE, 429),
    # Thirty keys, for which there is one place.
    "room": (SecuritySettings(), LimitsSettings(max_concurrent=1), [f"client-{each}" for each in range(30)], MANY, 503),
}


@pytest.mark.parametrize(("security", "limits", "crowd", "body", "shed"), FLOODS.values(), ids=FLOODS)
def test_a_flood_is_shed_and_those_let_in_get_right_answers(
    tmp_path: Path, *, security: SecuritySettings, limits: LimitsSettings, crowd: list[str], body: bytes, shed: int
) -> None:
    """One busy client would make everybody wait, get errors that it did not cause, or have the server killed."""
    file = tmp_path / "keys.txt"
    keys = {name: add_key(file, name, ["predict"]) for name in {*crowd, "modest", "first"}}
    chosen = {"limits": limits, "security": security.model_copy(update={"api_keys_file": file})}
    settings = serving_settings(tmp_path, port=free_port()).model_copy(update=chosen)
    publish(settings, taught(), 7)
    port = settings.serve.port
    with serving_process(settings, tmp_path) as server:
        right = {each: asyncio.run(ask(port, keys["first"], each))[1] for each in (ONE, body)}
        probes, modest, *others = asyncio.run(flood(port, [keys[name] for name in crowd], body, 8, keys["modest"]))
        assert server.stop() == 0
        assert "Traceback" not in server.output()
    assert {status for status, _, _ in probes} == {200}
    found = [each for answers in others for each in answers]
    assert {status for status, _, _ in found} == {200, shed}
    assert all(is_same(answer, right[body]) for status, answer, _ in found if status == 200)
    # Whoever stays within its rate is not shed because somebody else does not.
    assert {status for status, _, _ in modest} <= {200, 503}
    assert all(is_same(answer, right[ONE]) for status, answer, _ in modest if status == 200)


def is_same(answer: bytes, right: bytes) -> bool:
    """Return whether two answers say the same: but for its age, and for rounding, as rows computed together have it."""
    (said, probabilities), (rightly, expected) = _parts(answer), _parts(right)
    return said == rightly and bool(np.allclose(probabilities, expected, rtol=0, atol=1e-6))


def _parts(answer: bytes) -> tuple[dict[str, Any], list[float]]:
    found: dict[str, Any] = msgspec.json.decode(answer)
    del found["model_age_seconds"]
    said = found.pop("predictions")
    labels = {**found, "labels": [each["label"] for each in said]}
    return labels, [probability for each in said for probability in each["probabilities"].values()]


# -- nothing that a request names is opened


WATCHED = """
import os, sys
from pathlib import Path

log = open(sys.argv[2], "a", buffering=1)

def watch(event, arguments):
    # Everything by which a program reaches files, other machines and other programs.
    if event.split(".")[0] in ("open", "os", "shutil", "socket", "sqlite3", "subprocess", "urllib", "http", "import",
                               "glob", "pathlib", "tempfile", "ctypes"):
        try:
            log.write(event + " " + ascii(arguments) + chr(10))
        except RecursionError:
            pass

from service.config import Settings
from service.rest.serving import run_server

settings = Settings.model_validate_json(Path(sys.argv[1]).read_text())
sys.addaudithook(watch)
sys.exit(run_server(settings))
"""

MARK = "headracemark"
NAMES = [
    f"/etc/{MARK}",
    f"../../{MARK}",
    f"file:///etc/{MARK}",
    f"http://127.0.0.1:9/{MARK}",
    f"\\\\{MARK}\\share",
    f"{MARK}.py:Network",
    f"$({MARK})",
]


def requests_naming(name: str) -> Iterator[tuple[str, str, Any, dict[str, str]]]:
    """Yield requests that carry `name` wherever a text may stand: method, path, body, headers."""
    coded = "".join(f"%{byte:02x}" for byte in name.encode())
    headers = {"Idempotency-Key": name, "X-API-Key": name, "Referer": name, "X-Forwarded-For": name, "Accept": name}
    yield "POST", "/events", {"id": name, "features": {"a": name, name: 1, "l": [name]}, "label": name}, headers
    yield "POST", "/events", {"features": {"$ref": name}, "label": 1, "timestamp": name, "schema": name}, {}
    yield "POST", "/predict", {"features": {"a": name, name: 1, "$ref": name}, "id": name}, headers
    tensor = {"name": name, "shape": [1], "datatype": "BYTES", "data": [name], "parameters": {"uri": name}}
    yield "POST", "/v2/models/default/infer", {"inputs": [tensor], "id": name, "parameters": {"file": name}}, headers
    for path in (f"/v1/models/{coded}", f"/v1/models/{coded}/checkpoints", f"/docs/{coded}", f"/{coded}"):
        yield "GET", path, None, {}
    yield "POST", f"/v1/models/{coded}/predict?file={coded}&url={coded}", {"features": {}}, {}
    yield "POST", f"/v1/models/{coded}/events", {"features": {}, "label": 1}, headers
    for kind in (f"application/json; schema={name}", name):
        yield "POST", "/events", {"features": {}, "label": 1}, {"content-type": kind}


def test_nothing_that_a_request_names_is_opened(tmp_path: Path) -> None:
    """A request could read files of the machine, or have the server call another one."""
    settings = serving_settings(tmp_path, port=free_port())
    publish(settings, taught(), 7)
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    opened = tmp_path / "opened.log"
    with (tmp_path / "server.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", WATCHED, str(tmp_path / "settings.json"), str(opened)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.serve.port}", timeout=PATIENCE) as client:
            wait_until_ready(client, server)
            for name in NAMES:
                for method, path, body, headers in requests_naming(name):
                    status = client.request(method, path, json=body, headers=headers).status_code
                    assert status < 500, (method, path)
    finally:
        server.terminate()
        server.wait(PATIENCE)
    reached = opened.read_text().splitlines()
    # The watch works: it saw the files that are meant to be opened.
    assert any("answers.sqlite" in line for line in reached)
    assert any("events-default" in line for line in reached)
    assert [line for line in reached if MARK in line] == []


def wait_until_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers."""
    until = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health/ready").status_code == 200:
                return
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server did not become ready"
        time.sleep(0.1)
