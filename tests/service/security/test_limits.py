"""What is too much in one request, and in all of them together: refused, said where, and nothing kept of it."""

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api import create_app
from service.config import LimitsSettings, Settings
from service.errors import RequestInvalid
from service.security.limits_admission import Budget, Places
from service.security.limits_rows import RowLimits
from tests.support.serving import serving_here, serving_settings

LIMITS = LimitsSettings(max_rows=5, max_features=8, max_nesting=3, max_text=20)
DEEP = {"a": {"b": {"c": {"d": 1}}}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = serving_settings(tmp_path_factory.mktemp("limits"), max_body_bytes=2000)
    return made.model_copy(update={"limits": LIMITS})


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving_here(settings) as made:
        yield made


TOO_MUCH: list[tuple[dict[str, Any], str]] = [
    ({f"n{number}": number for number in range(9)}, "max_features"),
    ({"vector": [0.5] * 9}, "max_features"),
    ({"a": {f"n{number}": number for number in range(9)}}, "max_features"),
    (DEEP, "max_nesting"),
    ({"a": [[[1]]]}, "max_nesting"),
    ({"city": "x" * 21}, "max_text"),
    ({"x" * 21: 1}, "max_text"),
    ({"words": ["big", "x" * 21]}, "max_text"),
]


@pytest.mark.parametrize(("features", "limit"), TOO_MUCH)
def test_an_instance_that_is_out_of_bounds_is_said_to_be(
    client: httpx.Client, features: dict[str, Any], limit: str
) -> None:
    """One request could keep the server busy, or fill the encoder, for all others."""
    answer = client.post("/predict", json={"instances": [{"features": {"price": 1}}, {"features": features}]})
    assert answer.status_code == 422, answer.text
    assert limit in answer.json()["detail"]
    assert answer.json()["field"] == "instances[1].features"
    assert client.post("/predict", json={"features": features}).json()["field"] == "features"


@pytest.mark.parametrize(("features", "limit"), TOO_MUCH)
def test_an_event_that_is_out_of_bounds_costs_the_others_nothing(
    client: httpx.Client, features: dict[str, Any], limit: str
) -> None:
    """A client would lose good events with a bad one, or the trainer be given what it cannot hold."""
    events = [{"features": {"price": 1}, "label": "late"}, {"features": features, "label": "late"}]
    answer = client.post("/events", json=events).json()
    assert answer["accepted"] == 1
    assert [each["index"] for each in answer["rejected"]] == [1]
    assert limit in answer["rejected"][0]["detail"]


def test_what_is_just_within_bounds_is_taken(client: httpx.Client) -> None:
    """A bound would be lower than it says."""
    for features in (
        {f"n{number}": number for number in range(8)},
        {"a": {"b": {"c": 1}}},
        {"city": "x" * 20, "x" * 20: 1},
        {"text {[{[{[": "{[{[{["},
    ):
        instances = {"instances": [{"features": features}] * 5}
        assert client.post("/predict", json=instances).status_code == 200, features
        events = [{"features": features, "label": "late"}] * 5
        assert client.post("/events", json=events).json() == {"accepted": 5, "rejected": []}


def test_too_many_rows_are_too_large(client: httpx.Client) -> None:
    """A client could not tell that it should send them in parts."""
    instances = client.post("/predict", json={"instances": [{"features": {}}] * 6})
    events = client.post("/events", json=[{"features": {"price": 1}, "label": 1}] * 6)
    lines = client.post(
        "/events", content='{"features": {}, "label": 1}\n' * 6, headers={"content-type": "application/x-ndjson"}
    )
    for answer in (instances, events, lines):
        assert answer.status_code == 413, answer.text
        assert "limits.max_rows" in answer.json()["detail"]
    assert instances.json()["field"] == "instances"


@pytest.mark.parametrize("shape", [[10**12, 0], [10**30, 0], [6]])
def test_a_tensor_without_data_is_no_bomb(client: httpx.Client, shape: list[int]) -> None:
    """A hundred bytes could ask for a million million rows, and the server would die of it."""
    tensor = {"name": "price", "shape": shape, "datatype": "FP64", "data": [1] * (6 if shape == [6] else 0)}
    answer = client.post("/v2/models/default/infer", json={"inputs": [tensor]})
    assert answer.status_code == 413
    assert answer.json()["field"] == "inputs[0].shape"


def chunks(size: int, count: int) -> Iterator[bytes]:
    """Yield a body in parts, so that no length is announced."""
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize("path", ["/predict", "/events", "/v2/models/default/infer"])
def test_a_body_is_bounded_however_it_comes(client: httpx.Client, path: str) -> None:
    """A body without an announced length, or a packed one, could fill the memory."""
    json_type = {"content-type": "application/json"}
    assert client.post(path, content=chunks(500, 8), headers=json_type).status_code == 413
    assert client.post(path, content=b" " * 2001, headers=json_type).status_code == 413
    packed = gzip.compress(json.dumps({"features": {"price": 1}}).encode())
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, identity"):
        answer = client.post(path, content=packed, headers=json_type | {"content-encoding": encoding})
        assert answer.status_code == 415
    assert client.post(path, content=chunks(10, 3), headers=json_type).status_code == 400  # taken, and no JSON


def test_nothing_is_kept_of_a_request_that_is_over(settings: Settings) -> None:
    """Each refused request would leave the server a little fuller, until it refuses everything."""
    from service.api import create_app

    app = create_app(settings)
    with serving_here(settings, app) as client:
        for body in (b'{"features": {"price": 1}}', b"[", b" " * 3000, json.dumps({"features": DEEP}).encode()):
            for path in ("/predict", "/events", "/v2/models/default/infer"):
                client.post(path, content=body, headers={"content-type": "application/json"})
    admission = app.state.context.admission
    assert (admission.rows._held, admission.body_bytes._held) == (0, 0)
    assert [lane._taken for lane in admission.lanes.values()] == [0, 0, 0]


def test_large_bodies_never_keep_small_ones_out(tmp_path: Path) -> None:
    """A few clients that send large bodies slowly could keep everybody's predictions out."""
    from service.api import create_app

    settings = serving_settings(tmp_path)
    app = create_app(settings)
    app.state.context.admission.body_bytes.take(settings.limits.max_queued_bytes)
    small, large = {"features": {"price": 1}}, {"instances": [{"features": {"price": 1}}] * 3000}
    with serving_here(settings, app) as client:
        assert client.post("/predict", json=small).status_code == 200
        refused = client.post("/predict", json=large)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        app.state.context.admission.body_bytes.give_back(settings.limits.max_queued_bytes)
        assert client.post("/predict", json=large).status_code == 200
    assert app.state.context.admission.body_bytes._held == 0


def test_events_that_wait_for_a_broker_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a broker is away, waiting events would use up the threads, and predictions and probes stand still."""
    from service.api import create_app

    # More than there are threads for everything else.
    settings = serving_settings(tmp_path).model_copy(update={"limits": LimitsSettings(max_concurrent=45)})
    app = create_app(settings)
    back = threading.Event()
    sink = app.state.context.models["default"].sink()
    monkeypatch.setattr(sink, "append", lambda *_: back.wait(60))
    event = {"features": {"price": 1}, "label": "late"}
    with serving_here(settings, app) as client, ThreadPoolExecutor(48) as pool:
        waiting = [pool.submit(client.post, "/events", json=event) for _ in range(48)]
        try:
            shed = [each.result().status_code for each in islice(as_completed(waiting), 3)]
            large = {"instances": [{"features": {"price": 1}}] * 3000}
            assert client.post("/predict", json=large).status_code == 200
            for path in ("/health/ready", "/metrics", "/v1/models"):
                assert client.get(path).status_code == 200
        finally:
            back.set()
        answered = [each.result().status_code for each in waiting]
    assert shed == [503, 503, 503]
    assert sorted(answered) == [202] * 45 + [503] * 3


def test_a_budget_is_shared_but_a_single_request_is_never_too_large() -> None:
    """Several large requests would be taken at once; or one that is allowed never."""
    budget = Budget(10)
    budget.take(50)
    budget.take(50, mine=50)
    with pytest.raises(RequestInvalid) as refused:
        budget.take(1)
    assert (refused.value.status, refused.value.retry_after) == (503, 1.0)
    budget.give_back(95)
    budget.take(5)
    with pytest.raises(RequestInvalid):
        budget.take(1)


def test_places_are_given_back() -> None:
    """A server would be full for ever."""
    places = Places(1)

    def fail() -> None:
        with places.one("bob"):
            assert places.full_for(None)
            with pytest.raises(RequestInvalid), places.one("ann"):
                pass
            raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            fail()
    assert not places.full_for("bob")
    assert not places._by_caller


def test_one_caller_cannot_take_all_places() -> None:
    """One busy client would keep all others out."""
    places = Places(8)
    with contextlib.ExitStack() as held:
        held.enter_context(places.one("greedy"))
        assert not places.full_for("greedy")
        assert places.full_for("greedy", floods=True)
        assert not places.full_for("modest", floods=True)
        for _ in range(5):
            held.enter_context(places.one("greedy"))
        assert places.full_for("greedy")
        for _ in range(2):
            assert not places.full_for("modest")
            held.enter_context(places.one("modest"))
        assert places.full_for("modest")
        assert places.full_for(None)
    assert not any(places.full_for(caller) for caller in ("greedy", "modest", None))


def test_a_usual_request_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prediction would pay for the bounds."""
    limits = RowLimits(LimitsSettings())
    monkeypatch.setattr(RowLimits, "_problem_of", lambda *_: pytest.fail("looked through"))
    rows = [{f"n{number}": 0.5 for number in range(20)} | {"city": "Oslo", "note": None}] * 2000
    for count in (1, 100, 1000):
        instances = [{"features": row, "id": "a"} for row in rows[:count]]
        limits.check(rows[:count], json.dumps({"instances": instances}, separators=(",", ":")).encode()[:65_536])
    assert limits.problem_in(json.dumps({"features": rows[0], "label": 1, "words": ["a"]}).encode()) is None


def test_what_cannot_be_decoded_is_left_to_others(tmp_path: Path) -> None:
    """The reason of a broken event would be hidden behind another one."""
    assert RowLimits(LIMITS).problem_in(b"[" * 1000) is None


def test_one_of_several_models_cannot_take_everything(tmp_path: Path) -> None:
    """If this fails, a model that is asked too much, or whose broker hangs, keeps all others from being asked."""
    settings = serving_settings(tmp_path, "default", "busy")
    limits = settings.limits.model_copy(update={"max_concurrent": 8, "max_queued_rows": 100})
    app = create_app(settings.model_copy(update={"limits": limits}))
    admission = app.state.context.admission
    asked = {"instances": [{"features": {"x": 1}}] * 5}
    event = {"features": {"x": 1}, "label": "late"}
    with serving_here(settings, app) as client, contextlib.ExitStack() as held:
        for lane in ("predict", "ingest"):
            for _ in range(6):
                held.enter_context(admission.lanes[lane].one(None, "busy"))
        for call, body in (("predict", asked), ("events", event)):
            assert client.post(f"/v1/models/busy/{call}", json=body).status_code == 503
            assert client.post(f"/v1/models/default/{call}", json=body).status_code in (200, 202)
        held.close()
        admission.rows.take(74, model="busy")
        assert client.post("/v1/models/busy/predict", json=asked).status_code == 503
        assert client.post("/predict", json=asked).status_code == 200
        admission.rows.give_back(74, "busy")
        assert client.post("/v1/models/busy/predict", json=asked).status_code == 200
        assert not admission.lanes["predict"]._by_model
        assert not admission.rows._by_model


def test_the_only_model_may_have_everything() -> None:
    """If this fails, a service with one model turns away a quarter of what it could answer."""
    places, budget = Places(8), Budget(100)
    with contextlib.ExitStack() as held:
        for _ in range(8):
            held.enter_context(places.one(None, "only"))
    for _ in range(2):
        budget.take(50, model="only")
