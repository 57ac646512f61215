"""Whatever a client sends, it gets problem+json that names what is wrong; never a 500."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.monitoring.status import Status
from tests.support.serving import publish, report, serving_here, serving_settings, taught


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Yield a client of a server that has parameters and takes small bodies."""
    chosen = serving_settings(tmp_path_factory.mktemp("problems"), max_body_bytes=4096)
    publish(chosen, taught(), 3)
    report(chosen)
    with serving_here(chosen) as made:
        yield made


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the problem in `answer`, which must have `status`."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert {"type", "title", "detail", "instance"} <= found.keys()
    return found


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("", 400, None),
        ("{", 400, None),
        ("[", 400, None),
        ('{"features": {"price": NaN}}', 400, None),
        ('{"features": {"price": 1}} x', 400, None),
        (b'{"features": {"city": "\xff"}}', 400, None),
        ('{"features": {"city": "\\ud800"}}', 400, None),
        ('{"features": ' + "[" * 4000, 400, None),
        ("3", 422, None),
        ("[]", 422, None),
        ("{}", 422, "features"),
        ('{"features": null}', 422, "features"),
        ('{"features": 3}', 422, "features"),
        ('{"features": {}, "id": 1.5}', 422, "id"),
        ('{"features": {}, "instances": []}', 422, "features"),
        ('{"instances": 3}', 422, "instances"),
        ('{"instances": [{"features": {}}, {}]}', 422, "instances[1].features"),
        ('{"instances": [{"features": {}}, {"features": {}, "id": []}]}', 422, "instances[1].id"),
        ('{"instances": [{"features": {}}, {"features": {"price": 1e999}}]}', 422, "instances[1].features.price"),
        ('{"instances": [{"features": {}}, {"features": {"price": [1, "x"]}}]}', 422, "instances[1].features.price"),
        ('{"features": {"price": [[1]]}}', 422, "features.price"),
        ('{"features": {"price": ' + "9" * 400 + "}}", 422, "features.price"),
    ],
)
def test_a_bad_prediction_request_names_its_field(
    client: httpx.Client, body: str | bytes, status: int, field: str | None
) -> None:
    """Without it, a client has to guess which of its instances is wrong."""
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert problem(answer, status).get("field") == field


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/predict", 405, None),
        ("POST", "/metrics", 405, None),
        ("POST", "/v1/models/other/predict", 404, "model"),
        ("POST", "/v1/models/other/events", 404, "model"),
        ("GET", "/v1/models/other", 404, "model"),
        ("GET", "/v1/models/other/checkpoints", 404, "model"),
        ("POST", "/v2/models/other/infer", 404, "model"),
        ("POST", "/v1/models/default/nothing", 404, None),
        ("GET", "/v1/models/%00/checkpoints", 404, "model"),
    ],
)
def test_a_wrong_address_is_a_problem(
    client: httpx.Client, method: str, path: str, status: int, field: str | None
) -> None:
    """Without it, a mistyped model looks like a missing service."""
    assert problem(client.request(method, path), status).get("field") == field


@pytest.mark.parametrize("path", ["/predict", "/events", "/v2/models/default/infer"])
def test_a_large_body_is_refused_while_it_comes(client: httpx.Client, path: str) -> None:
    """Without it, one client fills the server's memory; a body without a length must be counted as it comes."""
    headers = {"content-type": "application/json"}
    announced = client.post(path, content=b"x" * 5000, headers=headers)
    assert "max_body_bytes" in problem(announced, 413)["detail"]
    streamed = client.post(path, content=iter([b"x" * 1000] * 5), headers=headers)
    problem(streamed, 413)
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/events", "/v2/models/default/infer"])
@pytest.mark.parametrize("header", [{"content-type": "text/csv"}, {"content-encoding": "gzip"}])
def test_another_content_type_is_refused(client: httpx.Client, path: str, header: dict[str, str]) -> None:
    """Without it, a form or a zipped body is taken for malformed JSON."""
    problem(client.post(path, content=b"{}", headers={"content-type": "application/json"} | header), 415)


@pytest.mark.parametrize("body", [b"", b"[", b"[1, 2", b"\xff"])
def test_events_that_cannot_be_told_apart_are_malformed(client: httpx.Client, body: bytes) -> None:
    """Without it, a broken body is accepted with no events in it."""
    problem(client.post("/events", content=body, headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_of_no_usable_length_is_refused(client: httpx.Client, key: str) -> None:
    """Without it, a key that cannot be kept makes the server fail."""
    answer = client.post("/events", json={"features": {}, "label": 1}, headers={"Idempotency-Key": key})
    assert problem(answer, 422)["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("inputs", "status", "field"),
    [
        (3, 422, "inputs"),
        ([{"name": "price", "shape": [1], "datatype": "FP32"}], 422, "inputs[0].data"),
        ([{"name": "price", "shape": [2], "datatype": "FP32", "data": [1]}], 422, "inputs[0].data"),
        ([{"name": "x" * 2000, "shape": [1], "datatype": "FP32", "data": [1]}], 422, "inputs[0].data"),
    ],
)
def test_the_open_inference_protocol_finds_its_error(
    client: httpx.Client, inputs: object, status: int, field: str
) -> None:
    """Without it, the protocol's clients show an empty error: they look for ``error``."""
    found = problem(client.post("/v2/models/default/infer", json={"inputs": inputs}), status)
    assert found["field"] == field
    assert found["error"] == found["detail"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["features", "instances", "id", "inputs", "name", "data", "x", "remember", "prediction"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(["/predict", "/events", "/v2/models/default/infer"]), body=_JSON | st.binary(max_size=64))
def test_nothing_that_a_client_sends_is_our_failure(client: httpx.Client, path: str, body: Any) -> None:
    """Without it, a strange request is a 500, and wakes an operator."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    # 415: what begins as Avro does is told where Avro is read.
    assert answer.status_code in (200, 202, 400, 413, 415, 422), answer.text
    if answer.status_code >= 400:
        problem(answer, answer.status_code)


def test_a_defect_of_ours_is_a_problem_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a defect answers with a page that no client can read, or with a traceback."""

    def broken(self: object) -> Status | None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("service.rest.serving_context.ServedModel.status", broken)
    with serving_here(serving_settings(tmp_path)) as client:
        found = problem(client.get("/v1/models"), 500)
        assert "secret" not in json.dumps(found)
