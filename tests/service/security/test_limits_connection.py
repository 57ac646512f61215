"""Slow, silent and too many clients, over real sockets: cut off in time, while everybody else is answered."""

import contextlib
import socket
import time
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from service.config import LimitsSettings, Settings
from tests.support.serving import ServingProcess, free_port, serving_process, serving_settings

PATIENCE = 1.0
LIMITS = LimitsSettings(
    max_header_bytes=2000, max_connections=10, slow_client_seconds=PATIENCE, keep_alive_seconds=1, max_concurrent=4
)
LONG = 20.0
"""Seconds within which a busy machine does what it should."""

GET = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = serving_settings(tmp_path_factory.mktemp("connections"), port=free_port(), max_body_bytes=2_000_000)
    return made.model_copy(update={"limits": LIMITS})


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with serving_process(settings, tmp_path_factory.mktemp("server")) as running:
        yield running


@contextlib.contextmanager
def connected(settings: Settings, sent: bytes = b"") -> Iterator[socket.socket]:
    """Yield a connection over which `sent` has gone."""
    with socket.create_connection(("127.0.0.1", settings.serve.port), timeout=LONG) as connection:
        connection.sendall(sent)
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def is_answered(server: ServingProcess) -> bool:
    """Return whether a prediction is."""
    return httpx.post(f"{server.url}/predict", json={"features": {"price": 1}}).status_code == 200


def problem_of(answer: bytes) -> dict[str, object]:
    """Return the problem in a raw answer, its headers having been looked at."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    for line in (b"connection: close", b"x-content-type-options: nosniff", b"content-type: application/problem+json"):
        assert line in lines, head
    assert f"content-length: {len(body)}".encode() in lines
    found: dict[str, object] = msgspec.json.decode(body)
    assert head.startswith(f"HTTP/1.1 {found['status']} {found['title']}".encode())
    return found


def test_headers_that_trickle_in_are_cut_off(settings: Settings, server: ServingProcess) -> None:
    """A few clients that send a byte now and then would hold connections for ever (slowloris)."""
    with connected(settings, GET) as connection:
        connection.settimeout(PATIENCE / 10)
        until = time.monotonic() + LONG
        answer = b""
        while not answer:
            assert time.monotonic() < until, "it may go on sending headers for ever"
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"X: y\r\n")
                answer = connection.recv(65_536)
        connection.settimeout(LONG)
        assert problem_of(answer + read_to_end(connection))["status"] == 408
    assert is_answered(server)


@pytest.mark.parametrize(
    "sent",
    [
        b'Content-Length: 1000\r\n\r\n{"features"',
        b'Transfer-Encoding: chunked\r\n\r\n3e8\r\n{"features"',
        b"Content-Length: 2000000\r\n\r\n" + b" " * 1_900_000,
    ],
)
def test_a_body_that_trickles_in_is_cut_off(settings: Settings, server: ServingProcess, sent: bytes) -> None:
    """A few clients that never finish their bodies would hold connections, and what they sent, for ever."""
    with connected(settings, POST + sent) as connection:
        assert problem_of(read_to_end(connection))["status"] == 408
    assert is_answered(server)


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_silent_connection_is_closed(settings: Settings, server: ServingProcess, sent: bytes) -> None:
    """Connections that nobody uses, half-open ones too, would add up."""
    with connected(settings, sent) as connection:
        assert b"200" not in read_to_end(connection)
    with connected(settings, GET + b"\r\n") as connection:  # idle after an answer
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_is_cut_off(settings: Settings, server: ServingProcess) -> None:
    """Answers that nobody fetches would fill the memory."""
    body = msgspec.json.encode({"instances": [{"features": {}, "id": "x" * 80}] * 10_000})
    asked = memoryview((POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body) * 30)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(LONG)
        connection.connect(("127.0.0.1", settings.serve.port))
        with pytest.raises(ConnectionError):
            send_all(connection, asked)
    assert is_answered(server)


def send_all(connection: socket.socket, rest: memoryview) -> None:
    """Send everything, as far as it is taken within a while."""
    until = time.monotonic() + LONG
    while len(rest) and time.monotonic() < until:
        rest = rest[connection.send(rest[:100_000]) :]


def test_requests_without_end_are_cut_off(settings: Settings, server: ServingProcess) -> None:
    """A client that sends requests faster than they are answered would fill the memory with them."""
    with connected(settings) as connection, pytest.raises(ConnectionError):
        send_all(connection, memoryview((GET + b"\r\n") * 1_000_000))
    assert is_answered(server)
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("head", [b"X: " + b"y" * 3000 + b"\r\n", b"X: y\r\n" * 500, b"X: " + b"y" * 3000])
def test_headers_are_bounded(settings: Settings, server: ServingProcess, head: bytes) -> None:
    """Headers of any size would be kept in memory."""
    with connected(settings, GET + head + b"\r\n") as connection:
        assert problem_of(read_to_end(connection))["status"] == 431
    line = b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(settings, line) as connection:
        assert problem_of(read_to_end(connection))["status"] == 431
    with connected(settings, GET + b"X: " + b"y" * 1500 + b"\r\nConnection: close\r\n\r\n") as connection:
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")
    assert is_answered(server)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_is_said_to_be(settings: Settings, server: ServingProcess, sent: bytes) -> None:
    """A client that speaks something else (TLS, say) would get a page of text, or wait."""
    with connected(settings, sent) as connection:
        assert problem_of(read_to_end(connection))["status"] == 400


def test_a_request_to_change_the_protocol_is_a_request(settings: Settings, server: ServingProcess) -> None:
    """A client that offers another protocol would be left without an answer."""
    offered = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with connected(settings, GET + offered) as connection:
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")


def test_requests_in_one_go_are_answered_in_order(settings: Settings, server: ServingProcess) -> None:
    """The bounds would count one request's bytes for another one."""
    body = b'{"features": {"price": 1}, "id": "%d"}'
    bodies = [body % number + b" " * 1500 for number in range(5)]
    asked = [POST + f"Content-Length: {len(each)}\r\n\r\n".encode() + each for each in bodies]
    last = GET + b"Connection: close\r\n\r\n"
    with connected(settings, b"".join(asked) + last) as connection:
        answer = read_to_end(connection)
    assert answer.count(b"HTTP/1.1 200") == 6
    assert [answer.index(f'"id":"{number}"'.encode()) for number in range(5)] == sorted(
        answer.index(f'"id":"{number}"'.encode()) for number in range(5)
    )


def test_the_rest_of_a_refused_body_is_thrown_away_up_to_a_bound(settings: Settings, server: ServingProcess) -> None:
    """A client that was refused could go on sending for ever."""
    with connected(settings, POST + b"Content-Length: 1000000000\r\n\r\n") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")
        with pytest.raises(ConnectionError):
            send_all(connection, memoryview(b" " * 100_000_000))
    assert is_answered(server)


def test_a_crowd_is_turned_away_but_probes_are_answered(settings: Settings, server: ServingProcess) -> None:
    """An orchestrator would kill a server that has too many clients, and so make it worse for the other ones."""
    with contextlib.ExitStack() as crowd:
        for _ in range(LIMITS.max_connections):
            crowd.enter_context(connected(settings, GET))
        with httpx.Client(base_url=server.url) as client:
            for path, status in (("/health/live", 200), ("/health/ready", 200), ("/v1/models", 503)):
                answer = client.get(path)
                assert answer.status_code == status
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["connection"] == "close"
        for _ in range(32):
            crowd.enter_context(connected(settings))
        with connected(settings, GET + b"\r\n") as connection:
            assert problem_of(read_to_end(connection))["status"] == 503
    until = time.monotonic() + LONG
    while httpx.get(f"{server.url}/v1/models").status_code != 200:
        assert time.monotonic() < until, "the crowd is gone, and nobody is let in"
        time.sleep(0.1)
