"""Predictions that are answered where their bytes arrive are bounded, counted and ordered as all others are."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from service.config import SecuritySettings, Settings
from service.rest import short_protocol, short_way
from service.security.keys_file import add_key
from tests.support.serving import metric, publish, serving_here, serving_settings, taught

BODY = msgspec.json.encode({"features": {"price": 1.5, "city": "Oslo"}, "id": "a"})
PLAIN = b"Content-Type: application/json\r\n"


def asked(body: bytes = BODY, headers: bytes = PLAIN, path: bytes = b"/predict") -> bytes:
    """Return a request as it goes over the wire."""
    return b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, headers, len(body), body)


class Connection:
    """One connection over which requests go as they are given."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes at once."""
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Return status, headers and body of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        return status, headers, self._file.read(int(headers[b"content-length"]))

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._socket.close()


@contextmanager
def connected(client: httpx.Client) -> Iterator[Connection]:
    """Yield a connection to the server that `client` asks."""
    made = Connection(client.base_url.port or 0)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the bodies of requests that are answered by the short way, and of them alone."""
    bodies: list[bytes] = []
    send = short_protocol.ShortProtocol.send_answer

    def noting(self: short_protocol.ShortProtocol, cycle: short_protocol.ShortCycle, content: bytes) -> None:
        bodies.append(bytes(cycle.body))
        send(self, cycle, content)

    monkeypatch.setattr(short_protocol.ShortProtocol, "send_answer", noting)
    return bodies


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = serving_settings(tmp_path)
    publish(made, taught(), 4)
    return made


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving_here(settings) as made:
        yield made


def test_both_ways_give_the_same_answer(client: httpx.Client, taken: list[bytes]) -> None:
    """Else what a client gets would depend on the headers that its library happens to send."""
    with connected(client) as connection:
        answers = []
        for headers in (PLAIN, PLAIN + b"TE: trailers\r\n"):
            connection.send(asked(headers=headers))
            status, found, body = connection.answer()
            assert status == 200
            decoded = msgspec.json.decode(body)
            assert decoded.pop("model_age_seconds") >= 0
            found.pop(b"content-length")  # the age has more digits or fewer
            found.pop(b"date")
            answers.append((found, decoded))
    assert answers[0] == answers[1]
    assert answers[0][1]["predictions"][0]["id"] == "a"
    assert taken == [BODY]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"features": {"price": [[1]]}}', 422),
        (b'{"features": ', 400),
        (b'{"instances": [{"features": {"price": 1}}, {}]}', 422),
        (b"{}", 422),
    ],
)
def test_mistakes_are_explained_as_ever(client: httpx.Client, taken: list[bytes], body: bytes, status: int) -> None:
    """Without it, a mistake ends a connection, or is counted as an answer; and one beside it suffers."""
    with connected(client) as connection:
        connection.send(asked(body))
        found, headers, problem = connection.answer()
        assert (found, headers[b"content-type"]) == (status, b"application/problem+json")
        assert msgspec.json.decode(problem)["status"] == status
        connection.send(asked())
        assert connection.answer()[0] == 200
    assert taken == [BODY]
    text = client.get("/metrics").text
    assert metric(text, "predictions_total", {"status": str(status)}) == 1
    assert metric(text, "predictions_total", {"status": "200"}) == 1
    assert metric(text, "prediction_seconds_count", {}) == 2


def test_answers_come_in_the_order_of_the_requests(client: httpx.Client) -> None:
    """A client that does not wait for an answer before it asks again would take one answer for another."""
    bodies = [msgspec.json.encode({"features": {"price": n}, "id": n}) for n in range(12)]
    # Some of them take the short way, some never do.
    requests = [asked(body, PLAIN + (b"TE: trailers\r\n" if n % 3 == 1 else b"")) for n, body in enumerate(bodies)]
    with connected(client) as connection:
        connection.send(b"".join(requests))
        found = [msgspec.json.decode(connection.answer()[2])["predictions"][0]["id"] for _ in requests]
    assert found == list(range(12))


def test_a_body_that_comes_in_parts_is_answered(client: httpx.Client, taken: list[bytes]) -> None:
    """What a network cuts in two would never be answered, or would keep others waiting."""
    whole = asked()
    with connected(client) as connection:
        for cut in (10, len(whole) - 5):
            connection.send(whole[:cut])
            time.sleep(0.1)  # so that the server gets it in two parts
            connection.send(whole[cut:])
            assert connection.answer()[0] == 200
    assert len(taken) == 1  # of headers alone nothing is known yet


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        (b"Content-Type: text/csv\r\n", b"/predict"),
        (b"Content-Encoding: gzip\r\n", b"/predict"),
        (b"", b"/v1/models/other/predict"),
        (b"Host: evil.example\r\n", b"/predict"),
        (b"Origin: https://evil.example\r\n", b"/predict"),
    ],
)
def test_what_the_routes_refuse_is_refused(
    client: httpx.Client, taken: list[bytes], headers: bytes, path: bytes
) -> None:
    """A shorter way must not be a way past a check."""
    with connected(client) as connection:
        connection.send(asked(headers=headers, path=path))
        assert connection.answer()[0] in {403, 404, 415}
    assert not taken


def test_a_key_is_needed_and_counts_once(settings: Settings, tmp_path: Path, taken: list[bytes]) -> None:
    """Without it, whoever asks for a prediction needs no key, or uses up twice what the key may ask."""
    file = tmp_path / "keys.txt"
    key, other = add_key(file, "asks", ["predict"]), add_key(file, "sends", ["ingest"])
    security = SecuritySettings(api_keys_file=file, requests_per_second=3)
    with serving_here(settings.model_copy(update={"security": security})) as client, connected(client) as connection:
        for shown, expected in (
            (b"", 401),
            (b"X-API-Key: wrong\r\n", 401),
            (b"X-API-Key: %b\r\n" % other.encode(), 403),
        ):
            connection.send(asked(headers=PLAIN + shown))
            assert connection.answer()[0] == expected
        assert not taken
        own = PLAIN + b"Authorization: Bearer %b\r\n" % key.encode()
        bad = b'{"features": {"price": [[1]]}}'
        found = []
        for body in (bad, BODY, BODY, BODY, BODY):
            connection.send(asked(body, own))
            found.append(connection.answer()[0])
    # Three at once, and what a request that was handed over took is not taken twice.
    assert found[:3] == [422, 200, 200]
    assert 429 in found[3:]


@pytest.mark.parametrize("step", ["encode_answer", "asked_in"])
def test_a_defect_of_the_short_way_costs_time_alone(
    client: httpx.Client, taken: list[bytes], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Else one request that fails takes those computed with it along, or keeps its place for ever."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(short_way, step, broken)
    with connected(client) as connection:
        for _ in range(120):  # more than there are places
            connection.send(asked())
            assert connection.answer()[0] == 200
    assert not taken


def test_behind_a_trusted_proxy_nobody_takes_it(settings: Settings, taken: list[bytes]) -> None:
    """Who asks is then found out by a layer of the application: all would count as one caller, the proxy."""
    proxied = settings.model_copy(
        update={"serve": settings.serve.model_copy(update={"trusted_proxies": ("127.0.0.1",)})}
    )
    with serving_here(proxied) as client, connected(client) as connection:
        connection.send(asked())
        assert connection.answer()[0] == 200
    assert not taken
