"""Commands over HTTP: what is answered when the trainer obeys, refuses, or is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from consumers.testing import MemorySource
from service.exporting.export_file import read_export
from service.operating.command_table import CommandTable
from tests.support.serving import serving_here
from tests.support.training import Running, events, learned, open_model, running, settings

INSTANCE = {"features": {"x": 1.0, "y": 1.0, "city": "Oslo"}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Running]]:
    """Yield a client of a server, and the trainer of the model that is served."""
    chosen = settings(tmp_path_factory.mktemp("trained"), checkpoint={"every_seconds": 1000})
    with running(open_model(chosen, MemorySource({0: events(100)}))) as run, serving_here(chosen) as client:
        run.wait_for(learned(100))
        yield client, run


def done(answer: httpx.Response) -> dict[str, Any]:
    """Return what was done."""
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found.pop("state"), found.pop("model")) == (200, "done", "default"), answer.text
    return found


def test_a_version_is_kept_and_gone_back_to(trained: tuple[httpx.Client, Running]) -> None:
    """An operator could not get back what worked, or would not know from the answer what is served now."""
    client, run = trained
    version = run.status().version
    assert done(client.put("/checkpoints/good"))["version"] == version
    assert done(client.put("/v1/models/default/checkpoints/also-good", json={"version": version}))["version"] == version
    kept, *_ = client.get("/checkpoints").json()["checkpoints"]
    assert (kept["version"], kept["names"], kept["restored_from"]) == (version, ["also-good", "good"], None)
    back = done(client.post("/rollback", json={"name": "good", "then": "pause"}))
    assert back["restored_from"] == version
    assert back["model_version"] == version + 1
    assert back["paused"]
    answer = client.post("/predict", json=INSTANCE).json()
    assert answer["model_version"] == version + 1
    state = client.get("/v1/models/default").json()
    assert state["served"]["restored_from"] == version
    assert done(client.post("/v1/models/default/resume"))["changed"]
    assert done(client.delete("/checkpoints/also-good"))["name"] == "also-good"
    listed = client.get("/commands").json()["commands"]
    assert [each["kind"] for each in listed[:3]] == ["unpin", "resume", "rollback"]
    assert listed[2]["state"] == "done"
    assert listed[2]["caller"]
    assert client.get(f"/commands/{back['command']}").json() == listed[2]


def test_a_pause_is_seen_and_leaves_the_service_ready(trained: tuple[httpx.Client, Running]) -> None:
    """A balancer would take a server away that answers well; or nobody would see why nothing is learned."""
    client, run = trained
    key = {"Idempotency-Key": "once"}
    first = done(client.post("/pause", headers=key))
    assert done(client.post("/pause", headers=key)) == first
    run.wait_for(lambda status: status.state == "paused")
    assert client.get("/health/ready").status_code == 200
    assert client.get("/v1/models/default").json()["paused"]["reason"] == "command"
    assert 'headrace_paused{model="default",reason="command"} 1.0' in client.get("/metrics").text
    assert done(client.post("/resume"))["changed"]
    run.wait_for(lambda status: status.state != "paused")


@pytest.mark.parametrize(
    ("call", "body", "status", "said"),
    [
        ("POST /rollback", {"version": 4711}, 404, "no checkpoint of version 4711"),
        ("POST /rollback", {"name": "unheard-of"}, 404, "no checkpoint called unheard-of"),
        ("POST /rollback", {}, 422, "either"),
        ("POST /rollback", {"version": 1, "name": "x"}, 422, "either"),
        ("POST /rollback", {"version": "1"}, 422, "int"),
        ("POST /rollback", {"name": "good", "then": "dance"}, 422, "learn"),
        ("POST /v1/models/nobody/pause", {}, 404, "nobody"),
        ("PUT /checkpoints/412", {}, 422, "a checkpoint's name"),
        ("PUT /checkpoints/good", {"version": 4711}, 404, "4711"),
        ("DELETE /checkpoints/unheard-of", {}, 404, "unheard-of"),
        ("GET /commands/4711", None, 404, "4711"),
        ("GET /commands/x", None, 404, "x"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_at_once(
    trained: tuple[httpx.Client, Running], call: str, body: Any, status: int, said: str
) -> None:
    """A typing error would wait for a trainer, or end in a 500."""
    client, run = trained
    before = CommandTable(run.model.service.data_dir / "commands.sqlite").recent("default", 100)
    method, path = call.split()
    answer = client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert CommandTable(run.model.service.data_dir / "commands.sqlite").recent("default", 100) == before


def test_without_a_trainer_a_command_waits_for_one(tmp_path: Path) -> None:
    """An operator could not stop what is about to start, or would be told that it is done."""
    chosen = settings(tmp_path)
    with serving_here(chosen) as client:
        answer = client.post("/v1/models/default/pause")
        assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
        where = answer.headers["Location"]
        assert where == f"/v1/models/default/commands/{answer.json()['command']}"
        assert client.get(where).json()["state"] == "waiting"
        assert client.post("/rollback", json={"version": 1}).status_code == 404
        with running(open_model(chosen, MemorySource({0: events(20)}))) as run:
            run.wait_for(lambda status: status.state == "paused")
        assert client.get(where).json()["state"] == "done"
        assert sum(run.status().events_learned.values()) == 0


def test_what_a_trainer_refuses_is_a_problem(
    trained: tuple[httpx.Client, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who removed the checkpoint meanwhile would leave the client with a success that was none."""
    client, _ = trained
    monkeypatch.setattr("service.rest.command_bodies.check_kept", lambda *_: None)
    answer = client.post("/rollback", json={"version": 4711})
    assert answer.status_code == 404
    assert answer.json()["field"] == "version"
    assert "those that are kept" in answer.json()["detail"]


def test_a_version_can_be_fetched_as_a_file(trained: tuple[httpx.Client, Running], tmp_path: Path) -> None:
    """Another program would need access to the service's own folders."""
    client, run = trained
    assert client.get("/export", params={"version": 4711}).status_code == 404
    assert client.get("/export", params={"version": "unheard-of"}).status_code == 404
    assert client.get("/export", params={"state": "perhaps"}).status_code == 422
    version = run.model.store.list()[0].version
    answer = client.get("/v1/models/default/export", params={"version": version, "state": "true"})
    assert answer.headers["content-disposition"] == f'attachment; filename="default-{version}.safetensors"'
    (tmp_path / "it.safetensors").write_bytes(answer.content)
    export = read_export(tmp_path / "it.safetensors")
    assert export.about["version"] == version
    assert export.state is not None
