"""The REST API as clients see it: right answers, and what the documentation says of them."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from consumers.errors import AppendFailed
from consumers.log import LogSink, LogSource
from consumers.source import NewRecord
from models.examples import Task
from service.config import Settings
from service.rest.routes_events import _id_reader
from service.settings.event_options import EventOptions
from service.wiring import log_path
from tests.support.serving import (
    LINEAR,
    as_instances,
    checkpoint,
    examples_of,
    metric,
    publish,
    report,
    serving_here,
    serving_settings,
    taught,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return serving_settings(tmp_path, "default", "prices")


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving_here(settings) as made:
        yield made


def appended(settings: Settings, model: str = "default") -> list[bytes | None]:
    """Return what is in the log of `model`."""
    topic = settings.models[model].topic
    reader = LogSource(log_path(settings, topic), topic).open({})
    try:
        return [record.value for record in reader.poll(1000, 0.2)]
    finally:
        reader.close()


# -- predictions


def test_predictions_over_http_are_the_models_own(settings: Settings, client: httpx.Client) -> None:
    """Without it, what clients get is not what was learned."""
    learner = taught()
    publish(settings, learner, 12)
    asked = examples_of(Task.BINARY, rows=200, seed=7).features
    answer = client.post("/predict", json={"instances": as_instances(asked)}).json()
    expected = learner.predictor().predict(asked)
    assert (answer["model"], answer["model_version"], answer["learner"]) == ("default", 12, learner.name)
    assert 0 <= answer["model_age_seconds"] < 60
    assert expected.probabilities is not None
    found = [[each["probabilities"][str(label)] for label in expected.classes] for each in answer["predictions"]]
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)
    best = [expected.classes[column] for column in expected.probabilities.argmax(axis=1)]
    assert [each["label"] for each in answer["predictions"]] == best


def test_a_number_is_predicted_for_regression(settings: Settings, client: httpx.Client) -> None:
    """Without it, regression cannot be asked for."""
    learner = taught(Task.REGRESSION)
    publish(settings, learner, 3, model="prices")
    asked = examples_of(Task.REGRESSION, rows=5, seed=7).features
    answer = client.post("/v1/models/prices/predict", json={"instances": as_instances(asked)}).json()
    expected = learner.predictor().predict(asked).values
    assert expected is not None
    np.testing.assert_allclose([each["value"] for each in answer["predictions"]], expected, atol=1e-5)
    assert all(each.keys() == {"value"} for each in answer["predictions"])


def test_both_forms_and_both_addresses_answer_alike(settings: Settings, client: httpx.Client) -> None:
    """Without it, a client must know which of two equal ways it may use."""
    publish(settings, taught(), 3)
    instance = as_instances(examples_of(Task.BINARY, rows=1).features)[0]
    answers = [
        client.post(path, json=body).json()["predictions"]
        for path in ("/predict", "/v1/models/default/predict")
        for body in (instance, {"instances": [instance]})
    ]
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 1


def test_ids_come_back(settings: Settings, client: httpx.Client) -> None:
    """Without it, a client cannot match its label to its prediction later on."""
    publish(settings, taught(), 3)
    instances = [{"features": {}, "id": "a1"}, {"features": {}}, {"features": {}, "id": 7}]
    answer = client.post("/predict", json={"instances": instances}).json()
    assert [each.get("id", "absent") for each in answer["predictions"]] == ["a1", "absent", 7]
    assert client.post("/predict", json=instances[0]).json()["predictions"][0]["id"] == "a1"


def test_features_that_nobody_knows_are_no_error(settings: Settings, client: httpx.Client) -> None:
    """Without it, a producer that adds a field breaks its predictions."""
    publish(settings, taught(), 3)
    features = {"new": 1, "nested": {"a": True}, "words": ["big"], "vector": [0.5, 1], "note": None, "city": "Bergen"}
    answer = client.post("/predict", json={"features": features})
    assert answer.status_code == 200
    assert sum(answer.json()["predictions"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_before_any_label_a_prediction_is_null(client: httpx.Client) -> None:
    """Without it, a new service looks broken."""
    answer = client.post("/predict", json={"features": {"price": 1}, "id": "a"})
    assert answer.status_code == 200
    assert answer.json()["model_version"] == 0
    assert answer.json()["predictions"] == [{"label": None, "id": "a"}]


def test_an_empty_list_is_an_empty_answer(settings: Settings, client: httpx.Client) -> None:
    """Without it, a client's empty batch fails."""
    publish(settings, taught(), 3)
    assert client.post("/predict", json={"instances": []}).json()["predictions"] == []


# -- the Open Inference Protocol


def test_the_open_inference_protocol_gives_the_same_predictions(settings: Settings, client: httpx.Client) -> None:
    """Without it, the protocol's clients get other answers than everybody else."""
    publish(settings, taught(), 12)
    instances = as_instances(examples_of(Task.BINARY, rows=4, seed=7).features)
    for instance in instances:
        del instance["features"]["words"]
    inputs = [
        {"name": "price", "shape": [4, 1], "datatype": "FP64", "data": [i["features"]["price"] for i in instances]},
        {"name": "city", "shape": [4], "datatype": "BYTES", "data": [i["features"]["city"] for i in instances]},
    ]
    answer = client.post("/v2/models/default/infer", json={"id": "r1", "inputs": inputs}).json()
    usual = client.post("/predict", json={"instances": instances}).json()["predictions"]
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r1", "default", "12")
    assert outputs["label"]["data"] == [each["label"] for each in usual]
    classes = outputs["probabilities"]["parameters"]["classes"]
    flat = [each["probabilities"][name] for each in usual for name in classes]
    np.testing.assert_allclose(outputs["probabilities"]["data"], flat, atol=1e-6)


def test_the_open_inference_protocols_other_calls(settings: Settings, client: httpx.Client) -> None:
    """Without it, the protocol's clients give up before their first request."""
    publish(settings, taught(), 12)
    report(settings, features=[{"name": "price", "kind": "number"}], classes=["late", "on-time"], task="binary")
    assert client.get("/v2").json()["name"] == "headrace"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/default/ready").json() == {"name": "default", "ready": True}
    metadata = client.get("/v2/models/default").json()
    assert (metadata["name"], metadata["versions"]) == ("default", ["12"])
    assert metadata["inputs"] == [{"name": "price", "datatype": "FP64", "shape": [-1]}]


# -- events


def test_accepted_events_are_in_the_log(settings: Settings, client: httpx.Client) -> None:
    """Without it, a client is told that its events are safe when they are not."""
    one = client.post("/events", json={"id": "a", "features": {"price": 1}, "label": "late"})
    many = client.post("/v1/models/default/events", json=[{"features": {"price": 2}, "label": "late"}, {"features": 3}])
    lines = '{"features": {"price": 4}, "label": "late"}\n\n{"features": {"price": 5}}\n{"nothing": 1}\n'
    ndjson = client.post("/events", content=lines, headers={"content-type": "application/x-ndjson"})
    assert [answer.status_code for answer in (one, many, ndjson)] == [202, 202, 202]
    assert one.json() == {"accepted": 1, "rejected": []}
    assert many.json()["accepted"] == 1
    assert [each["index"] for each in many.json()["rejected"]] == [1]
    assert ndjson.json()["accepted"] == 2
    assert [each["index"] for each in ndjson.json()["rejected"]] == [2]
    assert all(each["reason"] for each in many.json()["rejected"] + ndjson.json()["rejected"])
    found = [record for record in appended(settings) if record is not None]
    assert [b'"price": 1' in found[0] or b'"price":1' in found[0], len(found)] == [True, 4]


def test_models_have_their_own_topics(settings: Settings, client: httpx.Client) -> None:
    """Without it, one model learns from another one's events."""
    client.post("/v1/models/prices/events", json={"features": {"price": 1}, "label": 2.5})
    assert len(appended(settings, "prices")) == 1
    assert not log_path(settings, settings.models["default"].topic).exists()


def test_a_retry_with_a_key_adds_nothing(settings: Settings, client: httpx.Client) -> None:
    """Without it, a client that retries after a timeout doubles its events."""
    body = [{"features": {"price": 1}, "label": "late"}, {"features": 3}]
    first, again = (client.post("/events", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    other = client.post("/events", json=body[:1], headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    assert len(appended(settings)) == 1


def test_what_the_log_acknowledged_in_part_is_told_by_event(
    settings: Settings, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, a client sends events again that are there, or believes to be there what is not."""

    def append(self: LogSink, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        del self, idempotency_key
        if len(records) == 1:
            raise AppendFailed("nothing was acknowledged")
        raise AppendFailed("2 of 4 were not acknowledged", [1, 3])

    monkeypatch.setattr(LogSink, "append", append)
    good, bad = {"features": {"x": 1}, "label": "a"}, {"features": 3}
    answer = client.post("/events", json=[good, bad, good, good, good])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    told = [(each["index"], each["reason"]) for each in answer.json()["rejected"]]
    assert told == [(1, "not_an_event"), (2, "not_appended"), (4, "not_appended")]
    refused = client.post("/events", json=good)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


@pytest.mark.parametrize(
    ("options", "event", "key"),
    [
        (EventOptions(), b'{"id": "a1", "features": {}}', b"a1"),
        (EventOptions(), b'{"id": 7, "features": {}}', b"7"),
        (EventOptions(), b'{"features": {}}', None),
        (EventOptions(format="flat", label="y", id="order.id"), b'{"order": {"id": 5}, "y": 1}', b"5"),
        (EventOptions(format="flat", label="y", id="order.id"), b'{"order.id": "x", "y": 1}', b"x"),
        (EventOptions(format="flat", label="y", id="order.id"), b'{"order": 3, "y": 1}', None),
        (EventOptions(format="flat", label="y"), b'{"id": 5, "y": 1}', None),
    ],
)
def test_an_events_id_is_its_key(options: EventOptions, event: bytes, key: bytes | None) -> None:
    """Without it, an observation and its label go to different partitions and may be read in the wrong order."""
    assert _id_reader(options)(event) == key


# -- state, probes, metrics


def test_the_state_is_the_trainers_beside_the_servers(settings: Settings, client: httpx.Client) -> None:
    """Without it, an operator cannot see what the trainer does and what is being served."""
    publish(settings, taught(), 11, at=time.time() - 5)
    report(
        settings,
        task="binary",
        classes=["late", "on-time"],
        features=[{"name": "price", "kind": "number"}],
        version=12,
        events_learned={"microbatch": 250, "online": 6},
        positions={"0": (256, 0)},
        lag={"0": 3},
        scores={"stream": {"accuracy": 0.9, "roc_auc": float("nan")}, "window": {"accuracy": 0.95}},
    )
    state = client.get("/v1/models/default").json()
    assert (state["state"], state["task"], state["model_version"]) == ("learning", "binary", 12)
    assert (state["events_learned"], state["events_learned_by"]["online"]) == (256, 6)
    assert (state["positions"], state["lag"]) == ({"0": [256, 0]}, {"0": 3})
    assert state["scores"]["stream"] == {"accuracy": 0.9, "roc_auc": None}
    assert state["trainer"]["up"]
    assert (state["served"]["model_version"], state["served"]["origin"]) == (11, "publication")
    assert state["served"]["model_age_seconds"] == pytest.approx(5, abs=4)
    assert [each["model"] for each in client.get("/v1/models").json()["models"]] == ["default", "prices"]


def test_a_trainer_that_went_silent_is_down(settings: Settings, client: httpx.Client) -> None:
    """Without it, a dead trainer's last words pass for the present."""
    assert client.get("/v1/models/default").json()["state"] == "down"
    report(settings, written_at=time.time() - 60)
    state = client.get("/v1/models/default").json()
    assert state["state"] == "down"
    assert not state["trainer"]["up"]
    report(settings, written_at=time.time() - 60, state="stopped")
    assert client.get("/v1/models/default").json()["state"] == "stopped"


def test_checkpoints_are_listed_newest_first(settings: Settings, client: httpx.Client) -> None:
    """Without it, nobody knows what could be rolled back to."""
    for version in (5, 9):
        checkpoint(settings, taught(), version, LINEAR)
    found = client.get("/v1/models/default/checkpoints").json()
    assert [each["version"] for each in found["checkpoints"]] == [9, 5]
    assert all(each["bytes"] > 0 for each in found["checkpoints"])
    assert client.get("/checkpoints").json() == found


def test_probes(client: httpx.Client) -> None:
    """Without it, an orchestrator restarts a server that works, or sends requests to one that does not."""
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_predictions_are_counted(settings: Settings, client: httpx.Client) -> None:
    """Without it, nobody sees how much is asked, and what fails."""
    publish(settings, taught(), 11, at=time.time() - 5)
    report(settings, events_learned={"microbatch": 250})
    client.post("/predict", json={"instances": [{"features": {}}] * 3})
    client.post("/predict", json={"features": 3})
    client.post("/v1/models/nothing/predict", json={"features": {}})
    text = client.get("/metrics").text
    assert metric(text, "predictions_total", {"status": "200"}) == 3
    assert metric(text, "predictions_total", {"status": "422"}) == 1
    assert metric(text, "prediction_seconds_count", {}) == 2
    assert metric(text, "events_learned_total", {"learner": "microbatch"}) == 250
    assert metric(text, "model_version", {}) == 11
    assert metric(text, "model_age_seconds", {}) == pytest.approx(5, abs=4)
    assert "nothing" not in text


def test_the_way_to_the_documentation(client: httpx.Client) -> None:
    """Without it, somebody who opens the address in a browser finds an error."""
    root = client.get("/")
    assert root.status_code == 307
    assert client.get(root.headers["location"]).status_code == 200


# -- OpenAPI


def references_in(value: Any) -> Iterator[str]:
    """Yield all references within a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from references_in(part)


def test_the_documentation_holds_together(client: httpx.Client) -> None:
    """Without it, a client that is generated from it does not build."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references_in(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    operations = [
        (path, method, each) for path, methods in document["paths"].items() for method, each in methods.items()
    ]
    names = [each["operationId"] for _, _, each in operations]
    assert len(set(names)) == len(names)
    for path, method, each in operations:
        assert each["summary"]
        assert method in ("post", "put") or "requestBody" not in each
        assert "requestBody" in each or not (method == "post" and path.endswith(("/predict", "/events", "/infer")))
        assert ("{model}" in path) == any(p["name"] == "model" for p in each.get("parameters", []))
        of_model = "{model}" in path or f"/v1/models/{{model}}{path}" in document["paths"]
        # Where there is no such model, a PUT makes it.
        assert ("404" in each["responses"]) == (of_model and (method, path) != ("put", "/v1/models/{model}")), path


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/predict", {"features": {"price": 1}, "id": "a"}),
        ("post", "/v1/models/{model}/predict", {"instances": [{"features": {"price": 1}}]}),
        ("post", "/v1/models/{model}/predict", {"instances": 3}),
        ("post", "/events", [{"features": {"price": 1}}, {}]),
        ("get", "/v1/models", None),
        ("get", "/v1/models/{model}", None),
        ("get", "/v1/models/{model}/checkpoints", None),
        ("get", "/health/ready", None),
        ("post", "/v2/models/{model}/infer", {}),
    ],
)
def test_answers_are_as_documented(
    settings: Settings, client: httpx.Client, method: str, path: str, body: object
) -> None:
    """Without it, the documentation promises another answer than clients get."""
    publish(settings, taught(), 11)
    report(settings, task="binary", classes=["late", True], features=[{"name": "price", "kind": "number"}])
    checkpoint(settings, taught(), 9, LINEAR)
    document = client.get("/openapi.json").json()
    answer = client.request(method, path.replace("{model}", "default"), json=body)
    content = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    assert list(content) == [answer.headers["content-type"]]
    schema = content[answer.headers["content-type"]]["schema"]
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    rooted = {"$ref": f"urn:document{schema['$ref']}"} if "$ref" in schema else schema
    Draft202012Validator(rooted, registry=registry).validate(answer.json())
