"""The gate before all routes: who gets in, how often, and what each answer tells a browser."""

import base64
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api import create_app
from service.config import LimitsSettings, SecuritySettings, Settings
from service.rest.serving import _config as server_config
from service.security.keys_file import Role, add_key, remove_key
from service.security.limits_rate import RateLimit, caller_at
from service.security.origin import foreign
from tests.support.serving import metric, serving_here, serving_settings

EVENT = {"features": {"price": 1}, "label": "late"}


def secured(tmp_path: Path, **security: Any) -> Settings:
    """Return settings with a file of keys (see `key_of`) and further settings of the section."""
    settings = serving_settings(tmp_path)
    chosen = SecuritySettings(api_keys_file=tmp_path / "keys.txt", **security)
    return settings.model_copy(update={"security": chosen})


def key_of(tmp_path: Path, name: str, *roles: Role) -> dict[str, str]:
    """Make a key and return the header that shows it."""
    return {"authorization": f"Bearer {add_key(tmp_path / 'keys.txt', name, roles)}"}


@pytest.fixture
def bob(tmp_path: Path) -> dict[str, str]:
    return key_of(tmp_path, "bob", "predict", "ingest")


@pytest.fixture
def client(tmp_path: Path, bob: dict[str, str]) -> Iterator[httpx.Client]:
    with serving_here(secured(tmp_path)) as made:
        yield made


def test_a_refusal_says_what_is_missing(tmp_path: Path, client: httpx.Client, bob: dict[str, str]) -> None:
    """Whoever is refused would not know whether to send a key, another one, or to ask for a role."""
    nothing = client.post("/predict", json=EVENT)
    wrong = client.post("/predict", json=EVENT, headers={"X-API-Key": "headrace_guess"})
    lacking = client.get("/checkpoints", headers=bob)
    assert [answer.status_code for answer in (nothing, wrong, lacking)] == [401, 401, 403]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in (nothing, wrong, lacking))
    assert nothing.headers["www-authenticate"] == 'Bearer realm="headrace"'
    assert "Authorization: Bearer" in nothing.json()["detail"]
    assert "none that opens" in wrong.json()["detail"]
    assert "bob" in lacking.json()["detail"]
    assert "operate" in lacking.json()["detail"]
    assert "guess" not in wrong.text
    text = client.get("/metrics", headers=bob).text
    assert metric(text, "predictions_total", {"status": "401"}) == 2


def test_a_key_that_was_removed_is_refused(tmp_path: Path, client: httpx.Client, bob: dict[str, str]) -> None:
    """A server would have to be restarted to shut somebody out."""
    assert client.post("/predict", json=EVENT, headers=bob).status_code == 200
    remove_key(tmp_path / "keys.txt", "bob")
    until = time.monotonic() + 20
    while client.post("/predict", json=EVENT, headers=bob).status_code == 200:
        assert time.monotonic() < until, "the key still opens the API"
        time.sleep(0.05)
    assert client.post("/predict", json=EVENT, headers=bob).status_code == 401


def test_a_browser_may_send_the_key_as_a_password_to_look_but_not_to_act(
    client: httpx.Client, bob: dict[str, str]
) -> None:
    """Nobody could open /docs in a browser; or a page elsewhere could have a browser send events with its password."""
    challenge = client.get("/docs")
    assert challenge.status_code == 401
    assert "Basic" in challenge.headers["www-authenticate"]
    key = bob["authorization"].removeprefix("Bearer ")
    basic = {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}
    assert client.get("/docs", headers=basic).status_code == 200
    assert client.get("/openapi.json", headers=basic).status_code == 200
    assert client.post("/events", json=EVENT, headers=basic).status_code == 401
    assert client.get("/metrics", headers=basic).status_code == 401
    for broken in ("Basic", "Basic ?", "Basic bWU", f"Digest {key}", key):
        assert client.get("/docs", headers={"authorization": broken}).status_code == 401


def test_each_key_has_a_rate_of_its_own(tmp_path: Path) -> None:
    """One client could take all there is; or would not learn when to come again."""
    bob, ann = key_of(tmp_path, "bob", "predict"), key_of(tmp_path, "ann", "predict")
    with serving_here(secured(tmp_path, requests_per_second=0.5)) as client:
        assert client.get("/v1/models", headers=bob).status_code == 200
        refused = client.post("/predict", json=EVENT, headers=bob)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) in (1, 2)
        assert client.get("/health/ready").status_code == 200
        assert client.get("/v1/models", headers=ann).status_code == 200
        # Who has no key has none of theirs, either.
        assert [client.get("/v1/models").status_code for _ in range(3)] == [401, 429, 429]


def test_without_keys_each_address_has_a_rate(tmp_path: Path) -> None:
    """A service without keys could not be protected from one busy client."""
    settings = serving_settings(tmp_path).model_copy(update={"security": SecuritySettings(requests_per_second=1)})
    with serving_here(settings) as client:
        statuses = [client.post("/predict", json=EVENT).status_code for _ in range(4)]
    assert statuses[0] == 200
    assert 429 in statuses


@pytest.mark.parametrize(("trusted", "caller"), [((), "127.0.0.1"), (("127.0.0.0/8",), "10.1.2.3")])
def test_only_a_trusted_proxy_is_believed_who_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: tuple[str, ...], caller: str
) -> None:
    """A client could name a new address with each request, and so ask as often as it likes."""
    settings = serving_settings(tmp_path, trusted_proxies=trusted)
    settings = settings.model_copy(update={"security": SecuritySettings(requests_per_second=100)})
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")  # of this test's own server
    configured = server_config(settings)
    assert configured.proxy_headers is bool(trusted)
    asked: list[str] = []

    def wait(_: RateLimit, who: str) -> float:
        asked.append(who)
        return 0.0

    monkeypatch.setattr(RateLimit, "wait", wait)
    app: Any = create_app(settings)
    if configured.proxy_headers:
        app = ProxyHeadersMiddleware(app, configured.forwarded_allow_ips)
    with serving_here(settings, app) as client:
        client.get("/v1/models", headers={"X-Forwarded-For": "10.1.2.3"})
    assert asked == [caller]


def test_a_bucket_fills_at_its_rate() -> None:
    """Somebody could ask more often than allowed, or be refused for ever."""
    now = 0.0
    limit = RateLimit(2, clock=lambda: now)
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 0.5]
    assert [limit.left("a"), limit.left("b")] == [0, 2]
    now = 0.5
    assert [limit.left("a"), limit.left("a")] == [1, 1]  # asking costs nothing
    assert [limit.wait("a"), limit.wait("b")] == [0, 0]
    assert limit.wait("a") == pytest.approx(0.5)
    now = 1000
    assert [limit.wait("a") > 0 for _ in range(3)] == [False, False, True]  # what was not used is not saved up
    slow = RateLimit(0.1, clock=lambda: now)
    assert [slow.wait("a"), slow.wait("a")] == [0, pytest.approx(10)]


def test_a_flood_of_callers_does_not_eat_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million addresses would need a million buckets."""
    monkeypatch.setattr("service.security.limits_rate._MOST_CALLERS", 3)
    limit = RateLimit(1, clock=lambda: 0.0)
    for number in range(10):
        assert limit.wait(str(number)) == 0
    assert list(limit._buckets) == ["7", "8", "9"]
    assert caller_at("2001:db8::1") == caller_at("2001:db8::ffff:1") != caller_at("2001:db8:0:1::1")
    assert caller_at("10.0.0.1") != caller_at("10.0.0.2")


def test_every_answer_carries_the_headers(tmp_path: Path, client: httpx.Client, bob: dict[str, str]) -> None:
    """A browser could take an answer for a page, frame it, keep it, or send its address elsewhere."""
    app = create_app(secured(tmp_path))
    broken = next(route for route in app.routes if getattr(route, "path", "") == "/v1/models")
    broken.app = _fails  # type: ignore[attr-defined]  # what is meant is Starlette's Route
    with serving_here(secured(tmp_path), app) as defective:
        answers = [defective.get("/v1/models", headers=bob)]
    answers += [client.get(path, headers=bob) for path in ("/health/live", "/metrics", "/docs", "/nothing", "/predict")]
    answers += [client.post("/predict", headers=bob, json=body) for body in (EVENT, {"features": 3})]
    answers += [client.get("/metrics")]
    assert [answer.status_code for answer in answers] == [500, 200, 200, 200, 404, 405, 200, 422, 401]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers or answer.headers["server"] == "uvicorn"  # of this test's own server


async def _fails(*_: object) -> None:
    raise ZeroDivisionError


def test_the_documentation_needs_nothing_from_elsewhere(client: httpx.Client, bob: dict[str, str]) -> None:
    """It would be blank without the Internet, or run a stranger's script beside the key."""
    page = client.get("/docs", headers=bob)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs/page.css", "docs/page.js", "openapi.json"} == set(loaded)
    for name in loaded:
        assert client.get(f"/{name}", headers=bob).status_code == 200
    assert not re.search(r"<script>|<style>|\son\w+=|style=", page.text)  # the policy would not let them
    script = client.get("/docs/page.js", headers=bob).text
    assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert client.get("/redoc", headers=bob).status_code == 404


def test_the_description_tells_of_keys_and_refusals(tmp_path: Path, client: httpx.Client, bob: dict[str, str]) -> None:
    """A client that is generated from it would send no key, and not expect to be refused."""
    document = client.get("/openapi.json", headers=bob).json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "api_key"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            public = "health" in path
            assert ({"401", "403", "429", "503"} <= operation["responses"].keys()) is not public
            assert ("security" in operation) is not public
    assert "`ingest`" in document["paths"]["/events"]["post"]["description"]
    with serving_here(serving_settings(tmp_path / "open")) as without:
        anybody = without.get("/openapi.json").json()
    assert not any("security" in each for methods in anybody["paths"].values() for each in methods.values())


def test_nobody_reads_anothers_answers(tmp_path: Path) -> None:
    """Whoever guesses an Idempotency-Key would read what another client was answered, or keep it from sending."""
    bob, ann = key_of(tmp_path, "bob", "ingest"), key_of(tmp_path, "ann", "ingest")
    retry = {"Idempotency-Key": "k1"}
    with serving_here(secured(tmp_path)) as client:
        first = client.post("/events", json=[EVENT, {"features": 3}], headers=bob | retry)
        other = client.post("/events", json=EVENT, headers=ann | retry)
        again = client.post("/events", json=[EVENT, {"features": 3}], headers=bob | retry)
    assert [first.status_code, other.status_code] == [202, 202]
    assert other.json() == {"accepted": 1, "rejected": []}
    assert again.content == first.content
    assert len(again.json()["rejected"]) == 1


# -- web pages from elsewhere, where no keys are asked for


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "127.0.0.1:8000"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:8000"}, True),
        ({"host": "LOCALHOST:8000", "origin": "http://LOCALHOST:8000"}, True),
        ({}, True),
        ({"host": "evil.example:8000"}, False),
        ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, False),
        ({"host": "127.0.0.1:8000", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:3000"}, False),
        ({"host": "127.0.0.1:8000", "origin": "null"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
    ],
)
def test_a_web_page_from_elsewhere_is_told_apart(headers: dict[str, str], allowed: bool) -> None:
    """A page that somebody looks at could teach the model of their machine, or read it."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert (foreign(raw) is None) is allowed


def test_a_web_page_from_elsewhere_is_kept_out_unless_that_is_meant(tmp_path: Path) -> None:
    """The check would be there without being asked."""
    page = {"origin": "http://evil.example"}
    settings = serving_settings(tmp_path)
    with serving_here(settings) as client:
        assert client.post("/events", json=EVENT, headers=page).status_code == 403
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 403
        assert client.get("/health/live", headers={"host": "evil.example"}).status_code == 200
    meant = settings.model_copy(update={"security": SecuritySettings(allow_anonymous=True)})
    with serving_here(meant) as client:
        assert client.post("/events", json=EVENT, headers=page).status_code == 202


# -- as much as can be


def test_a_server_that_is_full_turns_away_and_still_answers_probes(tmp_path: Path) -> None:
    """Everybody would wait, and an orchestrator kill a server that works."""
    settings = serving_settings(tmp_path).model_copy(update={"limits": LimitsSettings(max_concurrent=1)})
    app = create_app(settings)
    lanes = app.state.context.admission.lanes
    with serving_here(settings, app) as client:
        with lanes["predict"].one(None):
            refused = client.post("/predict", json=EVENT)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert client.post("/events", json=EVENT).status_code == 202
            assert client.get("/health/ready").status_code == 200
            assert client.get("/v2/health/live").status_code == 200
        assert client.post("/predict", json=EVENT).status_code == 200
        with lanes["ingest"].one(None):
            assert client.post("/events", json=EVENT).status_code == 503
            assert client.post("/predict", json=EVENT).status_code == 200
        text = client.get("/metrics").text
        assert metric(text, "predictions_total", {"status": "503"}) == 1
        assert not any(lane.full_for(None) for lane in lanes.values())  # each place was given back


def test_what_is_only_looked_at_has_places_too(tmp_path: Path) -> None:
    """Many who look at a slow page would keep everybody else waiting."""
    settings = serving_settings(tmp_path).model_copy(update={"limits": LimitsSettings(max_concurrent=1)})
    app = create_app(settings)
    begun, end = threading.Event(), threading.Event()

    def slow() -> Response:
        begun.set()
        end.wait(30)
        return Response()

    app.router.add_api_route("/slow", slow, methods=["GET"])
    with serving_here(settings, app) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, "/slow")
        assert begun.wait(30)
        assert client.get("/v1/models").status_code == 503
        assert client.get("/health/ready").status_code == 200
        assert client.post("/predict", json=EVENT).status_code == 200
        end.set()
        assert waiting.result().status_code == 200
        assert client.get("/v1/models").status_code == 200
