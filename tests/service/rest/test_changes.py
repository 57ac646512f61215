"""Models that are added and removed over HTTP, as clients see it: two servers here are two workers of one."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.config import SecuritySettings, Settings
from service.security.keys_file import add_key
from service.wiring import model_paths
from tests.support.serving import LINEAR, checkpoint, metric, publish, serving_here, serving_settings, taught

ASKED = {"features": {"price": 1.0, "city": "Oslo", "words": ["big"]}}
SHOP = {"topic": "shop", "task": "binary", "checkpoint": {"keep": 3}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return serving_settings(tmp_path, "default")


@pytest.fixture
def workers(settings: Settings) -> Iterator[list[httpx.Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving_here(settings)) for _ in range(2)]


def names(client: httpx.Client) -> dict[str, str]:
    """Return the models that are listed, and where each is declared."""
    return {each["model"]: each["declared_in"] for each in client.get("/v1/models").json()["models"]}


def until_gone(client: httpx.Client, name: str) -> None:
    """Wait for a server to see that a model was removed: it looks twice a second."""
    for _ in range(2000):
        if client.get(f"/v1/models/{name}").status_code == 404:
            return
    raise AssertionError(f"{name} is still served")


def test_a_model_is_there_on_every_worker_when_its_put_is_answered(workers: list[httpx.Client]) -> None:
    """If this fails, a client that was told that its model is there is told that it is not."""
    for number in range(5):
        one, other = workers if number % 2 else reversed(workers)
        path = f"/v1/models/shop-{number}"
        added = one.put(path, json=SHOP)
        assert added.status_code == 201, added.text
        assert added.headers["location"] == path
        for client in (other, one):
            answer = client.post(f"{path}/predict", json=ASKED)
            assert answer.status_code == 200, answer.text
            assert answer.json()["model_version"] == 0
            assert answer.json()["predictions"] == [{"label": None}]
        assert other.post(f"{path}/events", json={**ASKED, "label": "late"}).json()["accepted"] == 1
    assert names(other) == {"default": "file"} | {f"shop-{number}": "api" for number in range(5)}


def test_what_was_put_is_shown_and_can_be_put_again(workers: list[httpx.Client]) -> None:
    """If this fails, an operator cannot see what a model was given, or overwrites what another one changed."""
    one, other = workers
    added = one.put("/v1/models/shop", json=SHOP, headers={"If-None-Match": "*"})
    assert added.json()["settings"]["microbatch"]["max_size"] == 1024, "with its defaults"
    shown = other.get("/v1/models/shop/settings")
    assert shown.json()["given"] == SHOP
    assert (shown.headers["etag"], shown.json()["declared_in"]) == (added.headers["etag"], "api")
    again = other.put("/v1/models/shop", json=shown.json()["given"])
    assert (again.status_code, again.headers["etag"]) == (200, shown.headers["etag"])
    changed = one.put("/v1/models/shop", json={**SHOP, "topic": "orders"}, headers={"If-Match": shown.headers["etag"]})
    assert changed.status_code == 200
    assert one.get("/v1/models/shop").json()["topic"] == "orders"
    stale = other.put("/v1/models/shop", json=SHOP, headers={"If-Match": shown.headers["etag"]})
    assert stale.status_code == 412
    configured = one.get("/v1/models/default/settings").json()
    assert (configured["declared_in"], configured["given"]) == ("file", None)


def test_what_cannot_be_is_a_problem_that_says_why(workers: list[httpx.Client], tmp_path: Path) -> None:
    """If this fails, whoever adds a model is left to guess, or adds what nobody may."""
    client, _ = workers
    path = "/v1/models/shop"
    for body, status, field in (
        (b"{", 400, None),
        (b"[]", 422, None),
        (b'{"topic": "shop", "microbatch": {"max_size": 0}}', 422, "microbatch.max_size"),
        (b'{"topics": "shop"}', 422, "topics"),
        (json.dumps({"learner": {"kind": f"{tmp_path}/network.py:Network"}}).encode(), 422, "learner.kind"),
        (json.dumps({"warm_start": "/etc"}).encode(), 422, "warm_start"),
        (b'{"topic": "' + b"x" * 70_000 + b'"}', 413, None),
        (b'{"checkpoint": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400, None),
    ):
        answer = client.put(path, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.put(path, content=b"topic: shop", headers={"content-type": "text/yaml"}).status_code == 415
    assert client.put("/v1/models/Shop", json={}).json()["field"] == "model"
    for call in (client.put("/v1/models/default", json={}), client.delete("/v1/models/default")):
        assert call.status_code == 409
        assert "configuration" in call.json()["detail"]
    assert client.delete(path).status_code == 404
    assert client.delete(f"{path}?keep=perhaps").status_code == 422
    assert client.get(f"{path}/settings").status_code == 404
    assert names(client) == {"default": "file"}


def test_a_removed_model_is_gone_and_the_next_one_of_its_name_begins_anew(
    settings: Settings, workers: list[httpx.Client]
) -> None:
    """If this fails, a new model answers what another one had learned, or counts what another one had answered."""
    one, other = workers
    one.put("/v1/models/shop", json=SHOP)
    publish(settings, taught(), 7, model="shop")
    checkpoint(settings, taught(), 7, LINEAR, model="shop")
    version = other.post("/v1/models/shop/predict", json=ASKED).json()["model_version"]
    text = other.get("/metrics").text
    assert metric(text, "predictions_total", {"model": "shop", "status": "200"}) == 1
    assert one.delete("/v1/models/shop").status_code == 204
    until_gone(other, "shop")
    assert 'model="shop"' not in other.get("/metrics").text
    assert other.post("/v1/models/shop/predict", json=ASKED).status_code == 404
    assert list(model_paths(settings, "shop").aside.glob("*/checkpoints/manifest-*"))
    assert one.put("/v1/models/shop", json=SHOP).status_code == 201
    answer = other.post("/v1/models/shop/predict", json=ASKED).json()
    assert (version, answer["model_version"], answer["predictions"]) == (7, 0, [{"label": None}])
    assert metric(other.get("/metrics").text, "predictions_total", {"model": "shop", "status": "200"}) == 1


def test_one_that_does_not_fit_any_more_is_left_out_and_listed(settings: Settings, workers: list[httpx.Client]) -> None:
    """If this fails, a configuration that lost a topic or a teacher keeps the whole service from starting."""
    workers[0].put("/v1/models/shop", json=SHOP)
    workers[0].put("/v1/models/other", json={**SHOP, "topic": "other"})
    narrowed = settings.added_models.model_copy(update={"topics": ("other*",)})
    with serving_here(settings.model_copy(update={"added_models": narrowed})) as client:
        assert client.get("/health/ready").status_code == 200
        listed = client.get("/v1/models").json()
        assert [each["model"] for each in listed["models"]] == ["default", "other"]
        [left_out] = listed["unusable"]
        assert (left_out["model"], "added_models.topics" in left_out["problem"]) == ("shop", True)
        assert client.put("/v1/models/shop", json={**SHOP, "topic": "other"}).status_code == 200
        assert client.get("/v1/models").json()["unusable"] == []


def test_only_operators_change_models(settings: Settings, tmp_path: Path) -> None:
    """If this fails, whoever may send events adds models, and takes memory and topics."""
    path = tmp_path / "keys.txt"
    keys: dict[str, Any] = {role: add_key(path, role, [role]) for role in ("predict", "ingest", "operate")}
    with serving_here(settings.model_copy(update={"security": SecuritySettings(api_keys_file=path)})) as client:
        for role, status in (("predict", 403), ("ingest", 403), ("operate", 201)):
            header = {"x-api-key": keys[role]}
            assert client.put("/v1/models/shop", json=SHOP, headers=header).status_code == status
        assert client.delete("/v1/models/shop").status_code == 401
    kept = (settings.data_dir / "added-models" / "shop.json").read_text()
    assert json.loads(kept)["changed_by"] == "operate"
    assert not any(key in kept for key in keys.values())
