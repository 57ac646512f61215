"""``explain: true``: reasons beside each prediction, of the version that it names, and bounded."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from consumers.log import LogSource
from models.examples import Task
from models.learner import LearnerOptions
from service.config import ModelSettings, Settings
from service.rest.schemas_rows import PredictionAnswer
from service.wiring import log_path
from tests.support.serving import checkpoint, publish, serving_here, serving_settings, taught

ROW = {"price": 3.2, "city": "Oslo", "words": ["big"], "nothing": None, "unheard_of": True}
MLP = LearnerOptions(kind="mlp", device="cpu")
MOST = 12


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = serving_settings(tmp_path)
    models = {name: ModelSettings(topic=f"events-{name}", task="binary") for name in ("default", "wide", "new")}
    models["value"] = ModelSettings(topic="events-value", task="regression")
    limits = made.limits.model_copy(update={"max_explained": MOST})
    made = made.model_copy(update={"models": models, "limits": limits})
    publish(made, taught(), 4)
    publish(made, taught(Task.REGRESSION), 5, model="value")
    checkpoint(made, taught(Task.BINARY, MLP), 6, MLP, model="wide")
    return made


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving_here(settings) as made:
        yield made


def ask(client: httpx.Client, body: dict[str, Any], model: str = "default", **headers: str) -> httpx.Response:
    """Ask for predictions."""
    return client.post(f"/v1/models/{model}/predict", content=msgspec.json.encode(body), headers=JSON | headers)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("way", ["short", "usual", "large"])
def test_reasons_are_beside_each_prediction(client: httpx.Client, way: str) -> None:
    """A client would be told other reasons by one way than by another, or an answer other than without asking why."""
    padding = {"padding": "x" * 70_000} if way == "large" else {}
    headers = {"TE": "trailers"} if way == "usual" else {}
    instances = [{"id": "a1", "features": ROW}, {"features": {}}]
    plain = ask(client, {"instances": instances}).json()
    answer = ask(client, {"instances": instances, "explain": True, **padding}, **headers).json()
    PredictionAnswer.model_validate(answer)
    assert answer["model_version"] == 4
    reasons = [each.pop("explanation") for each in answer["predictions"]]
    assert answer["predictions"] == plain["predictions"]
    first, second = reasons
    assert first["contributions"].keys() == {"price", "city=Oslo", "words", "unheard_of"}
    assert first["contributions"]["unheard_of"] == 0
    assert max(first["contributions"].items(), key=lambda item: abs(item[1]))[0] == "price"
    assert (first["scale"], first["method"]) == ("log_odds", "exact")
    assert first["baseline"] + sum(first["contributions"].values()) == pytest.approx(first["output"], abs=1e-9)
    probability = answer["predictions"][0]["probabilities"][answer["predictions"][0]["label"]]
    assert 1 / (1 + math.exp(-first["output"])) == pytest.approx(probability, abs=1e-5)
    assert (second["contributions"], second["output"]) == ({}, pytest.approx(second["baseline"]))


def test_one_instance_and_each_kind_of_answer(client: httpx.Client) -> None:
    """Values, answers from a checkpoint or of a model that has learned nothing would have no reasons, or fail."""
    value = ask(client, {"features": ROW, "explain": True}, "value").json()["predictions"][0]
    assert value["explanation"]["scale"] == "value"
    assert value["explanation"]["output"] == pytest.approx(value["value"], abs=1e-3)
    network = ask(client, {"features": ROW, "explain": True}, "wide").json()
    assert (network["model_version"], network["predictions"][0]["explanation"]["method"]) == (6, "occlusion")
    assert ask(client, {"features": ROW, "explain": True}, "new").json()["predictions"] == [{"label": None}]
    for quiet in (False, None):
        assert "explanation" not in ask(client, {"features": ROW, "explain": quiet}).json()["predictions"][0]


def test_how_much_is_explained_is_bounded(client: httpx.Client) -> None:
    """One request could keep a core busy for as long as it likes."""
    most = {f"n{number}": 1.0 for number in range(MOST)}
    assert ask(client, {"features": most, "explain": True}).status_code == 200
    for body in ({"features": {**most, "more": 1}}, {"instances": [{"features": most}, {"features": {"more": "a"}}]}):
        assert ask(client, body).status_code == 200
        refused = ask(client, {**body, "explain": True})
        assert refused.status_code == 422
        assert "at most 12 (limits.max_explained)" in refused.text
        assert refused.json()["field"] == "explain"


def test_what_cannot_be_used_is_blamed_where_it_is(client: httpx.Client) -> None:
    """A client would not find its mistake, or get a 500."""
    refused = ask(client, {"instances": [{"features": ROW}, {"features": {"x": [1, "a"]}}], "explain": True})
    assert refused.status_code == 422
    assert refused.json()["field"].startswith("instances[1].features.x")
    assert ask(client, {"features": ROW, "explain": "yes"}).status_code in {400, 422}


def test_what_is_explained_is_remembered_as_it_was_answered(tmp_path: Path) -> None:
    """A prediction would not be scored because somebody asked why, or its reasons would fill the log."""
    made = serving_settings(tmp_path)
    made = made.model_copy(update={"models": {"default": ModelSettings(topic="events-default", remember="log")}})
    publish(made, taught(), 4)
    with serving_here(made) as client:
        answer = ask(client, {"id": "a1", "features": ROW, "explain": True}).json()["predictions"][0]
        reader = LogSource(log_path(made, "events-default")).open({})
        (event,) = [msgspec.json.decode(each.value or b"") for each in reader.poll(10, 0.0)]
        reader.close()
    assert "explanation" in answer
    given = event["prediction"]
    given.pop("of_model", None)
    assert given == {"model_version": 4, "probabilities": answer["probabilities"]}
