"""A prediction with an id is in the log, as it was answered, before its answer is: whichever way it came."""

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from consumers.errors import AppendFailed
from consumers.log import LogSink, LogSource
from consumers.source import NewRecord, StoredRecord
from models.examples import Task
from models.learner import Learner
from service.config import ModelSettings, Settings
from service.durability.model_identity import set_identity
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from service.settings.remember import Remember
from service.wiring import log_path, make_decoder, model_paths
from tests.support.serving import free_port, metric, publish, serving_here, serving_process, serving_settings, taught

FEATURES = b'{"price": 1.50, "city":"Oslo",\n "words": ["big"], "unheard_of": 12345678901234567890}'
FLAT = EventOptions(format="flat", label="late", id="order.id", timestamp="at", prediction="_answered")


def remembering(folder: Path, remember: Remember = "log", events: EventOptions | None = None, **serve: Any) -> Settings:
    """Return settings of a server whose model remembers."""
    made = serving_settings(folder, **serve)
    model = ModelSettings(topic="events-default", remember=remember, events=events or EventOptions())
    return made.model_copy(update={"models": {"default": model}})


def logged(settings: Settings) -> list[StoredRecord]:
    """Return what is in the log."""
    reader = LogSource(log_path(settings, "events-default")).open({})
    try:
        return list(reader.poll(10_000, 0.0))
    finally:
        reader.close()


def events_of(records: Sequence[StoredRecord]) -> list[dict[str, Any]]:
    """Return events as they are in the log."""
    return [msgspec.json.decode(each.value or b"null") for each in records]


@pytest.fixture
def learner() -> Learner:
    return taught()


@pytest.fixture
def settings(tmp_path: Path, learner: Learner) -> Settings:
    made = remembering(tmp_path)
    publish(made, learner, 4)
    return made


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving_here(settings) as made:
        yield made


def ask(client: httpx.Client, body: Any, *, short: bool = True, path: str = "/predict") -> httpx.Response:
    """Ask by the short way, or by the usual one."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"Content-Type": "application/json"} | ({} if short else {"TE": "trailers"})
    return client.post(path, content=content, headers=headers)


@pytest.mark.parametrize("way", ["short", "usual", "large"])
def test_what_was_answered_is_in_the_log_with_the_very_features(
    client: httpx.Client, settings: Settings, way: str
) -> None:
    """A label would be learned with other features than were predicted from, or the score be of another answer."""
    several = b'{"instances": [{"features": %b, "id": "b7", "timestamp": "2026-11-21T20:00:00Z"}, {"features": %b}, '
    several += b'{"features": {}, "id": 12}]%b}'
    body = several % (FEATURES, FEATURES, b" " * (70_000 if way == "large" else 0))
    answer = ask(client, body, short=way == "short").json()
    records = logged(settings)
    first, second = events_of(records)
    assert b"\n" not in (records[0].value or b"\n")
    assert b'"price":1.50' in (records[0].value or b"").replace(b" ", b"")
    assert b"12345678901234567890" in (records[0].value or b"")
    assert first["features"] == msgspec.json.decode(FEATURES)
    assert (first["id"], first["timestamp"]) == ("b7", "2026-11-21T20:00:00Z")
    assert (second["id"], second["features"]) == (12, {})
    given = [answer["predictions"][row]["probabilities"] for row in (0, 2)]
    assert [each["prediction"] for each in (first, second)] == [
        {"model_version": answer["model_version"], "probabilities": each} for each in given
    ]
    decoded = EventDecoder(EventOptions(), {}, observations=True).decode(records)
    assert not decoded.rejected
    assert decoded.examples.answered is not None
    # As they left the model: what a client got, and what is scored, is the same to the last bit.
    expected = np.array([list(each.values()) for each in given], np.float32)
    np.testing.assert_array_equal(decoded.examples.answered.columns_of(list(given[0])), expected)


def test_other_protocols_remember_too(client: httpx.Client, settings: Settings) -> None:
    """Clients written for other servers could not have their labels joined."""
    tensor = {"name": "price", "shape": [2], "datatype": "FP64", "data": [1.5, -2]}
    asked = {"id": "request", "inputs": [tensor], "parameters": {"ids": ["a", 7]}}
    answer = ask(client, asked, path="/v2/models/default/infer").json()
    shares = answer["outputs"][1]
    one = {"id": "one", "inputs": [tensor | {"shape": [1], "data": [3]}]}
    assert ask(client, one, path="/v2/models/default/infer").status_code == 200
    forgotten = asked | {"parameters": {"ids": ["b", 8], "remember": False}}
    assert ask(client, forgotten, path="/v2/models/default/infer").status_code == 200
    assert ask(client, {"id": "request", "inputs": [tensor]}, path="/v2/models/default/infer").status_code == 200
    found = events_of(logged(settings))
    assert [each["id"] for each in found] == ["a", 7, "one"]
    assert [each["features"] for each in found] == [{"price": 1.5}, {"price": -2}, {"price": 3}]
    names = shares["parameters"]["classes"]
    assert [found[row]["prediction"]["probabilities"][name] for row in (0, 1) for name in names] == shares["data"]
    wrong = ask(client, asked | {"parameters": {"ids": ["a"]}}, path="/v2/models/default/infer")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "parameters.ids")


def test_the_log_says_which_model_answered(settings: Settings, client: httpx.Client) -> None:
    """A model that is begun anew would be scored on what the one before it answered."""
    identity = set_identity(model_paths(settings, "default").root, "abc")
    assert ask(client, {"features": {"price": 1}, "id": "a"}).status_code == 200
    records = logged(settings)
    assert events_of(records)[0]["prediction"]["of_model"] == identity
    for known, expected in ((identity, True), ("another", False)):
        set_identity(model_paths(settings, "default").root, known)
        answered = make_decoder(settings, "default", {}).decode(records).examples.answered
        assert (answered is not None) == expected


def test_a_flat_topic_gets_flat_observations(tmp_path: Path) -> None:
    """Whose topic knows nothing of Headrace would find events in it that his other readers cannot take."""
    settings = remembering(tmp_path, events=FLAT)
    publish(settings, taught(Task.REGRESSION), 9)
    features = {"price": 1.5, "order": {"city": "Oslo"}, "late": 3.0, "at": 1763683200}
    with serving_here(settings) as client:
        value = ask(client, {"features": features, "id": "b7"}).json()["predictions"][0]["value"]
    (event,) = events_of(records := logged(settings))
    said = {"model_version": 9, "value": value}
    assert event == {
        "price": 1.5, "order.city": "Oslo", "at": 1763683200, "order.id": "b7", "_answered": said
    }  # fmt: skip
    decoded = EventDecoder(FLAT, {}, observations=True).decode(records)
    assert decoded.examples.answered is not None
    assert decoded.examples.answered.values.tolist() == [value]
    assert decoded.examples.timestamps.tolist() == [1763683200]


def test_nothing_is_remembered_that_has_no_id_or_shall_not_be(client: httpx.Client, settings: Settings) -> None:
    """A probe that asks every second would fill the log."""
    for body in ({"features": {"price": 1}}, {"features": {"price": 1}, "id": "a", "remember": False}):
        assert ask(client, body).status_code == 200
    assert not log_path(settings, "events-default").exists()


def test_before_anything_was_learned_nothing_was_answered(tmp_path: Path) -> None:
    """A model would be scored on what it said when it could know nothing."""
    settings = remembering(tmp_path)
    with serving_here(settings) as client:
        assert ask(client, {"features": {"price": 1}, "id": "a"}).json()["predictions"][0]["label"] is None
    assert events_of(logged(settings)) == [{"features": {"price": 1}, "id": "a"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"features": {}, "remember": True}, "id"),
        ({"features": {}, "id": "x" * 1001}, "id"),
        ({"features": {}, "id": 2**63}, "id"),
        ({"instances": [{"features": {}, "id": 1, "timestamp": "soon"}]}, "instances[0].timestamp"),
        ({"features": {}, "id": "a", "remember": "yes"}, "remember"),
    ],
)  # fmt: skip
def test_what_could_not_be_found_again_is_refused(
    client: httpx.Client, settings: Settings, body: Any, field: str
) -> None:
    """An observation would be written that no label can ever reach, or that the trainer throws away."""
    for short in (True, False):
        answer = ask(client, body, short=short)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert not log_path(settings, "events-default").exists()


def test_who_relies_on_being_remembered_is_told_that_the_model_does_not(tmp_path: Path) -> None:
    """Labels would come to nothing for as long as nobody looks."""
    settings = remembering(tmp_path, "none")
    publish(settings, taught(), 4)
    with serving_here(settings) as client:
        answer = ask(client, {"features": {}, "id": "a", "remember": True})
        assert (answer.status_code, answer.json()["field"]) == (422, "remember")
        assert ask(client, {"features": {}, "id": "a"}).status_code == 200


def test_without_the_log_there_is_no_answer_and_none_is_tried_twice(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer would be given that is lost; or what did reach the log be put there again."""
    tries: list[int] = []

    def full(_: LogSink, records: Sequence[NewRecord]) -> bool:
        tries.append(len(records))
        raise AppendFailed("the disk is full")

    monkeypatch.setattr(LogSink, "append", full)
    for short in (True, False):
        answer = ask(client, {"features": {"price": 1}, "id": "a"}, short=short)
        assert answer.status_code == 503
        assert "the disk is full" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert tries == [1, 1]
    assert ask(client, {"features": {"price": 1}, "id": "a", "remember": False}).status_code == 200
    text = client.get("/metrics").text
    assert metric(text, "predictions_total", {"status": "503"}) == 2
    assert metric(text, "predictions_total", {"status": "200"}) == 1


def test_whoever_has_an_answer_has_it_in_the_log_when_the_server_is_killed(tmp_path: Path, learner: Learner) -> None:
    """A label that comes after a crash would find nothing to be joined with."""
    settings = remembering(tmp_path, host="127.0.0.1", port=free_port())
    publish(settings, learner, 4)
    answered: list[str] = []
    with serving_process(settings, tmp_path) as server:

        def go_on_asking(worker: int) -> None:
            with httpx.Client(base_url=server.url, timeout=20) as client:
                for number in range(10_000):
                    name = f"{worker}/{number}"
                    try:
                        status = ask(client, {"features": {"price": number}, "id": name}).status_code
                    except httpx.TransportError:
                        return
                    assert status == 200
                    answered.append(name)

        workers = [threading.Thread(target=go_on_asking, args=(worker,)) for worker in range(4)]
        for each in workers:
            each.start()
        while len(answered) < 200 and any(each.is_alive() for each in workers):
            threading.Event().wait(0.01)
        server.stop(signal.SIGKILL)
        for each in workers:
            each.join()
    assert len(answered) >= 200
    assert set(answered) <= {each["id"] for each in events_of(logged(settings))}


def test_an_observation_has_the_key_by_which_its_label_goes_the_same_way(tmp_path: Path) -> None:
    """Kafka would put the two into different partitions, in whatever order; or the label's key be no id of anything."""
    options = EventOptions(id="$key")
    settings = remembering(tmp_path, events=options)
    publish(settings, taught(), 4)
    with serving_here(settings) as client:
        assert (
            ask(client, {"instances": [{"features": {"price": 1}, "id": name} for name in ("b7", 12)]}).status_code
            == 200
        )
        assert client.post("/events", json={"id": "b7", "label": "late"}).status_code == 202
    records = logged(settings)
    assert [each.key for each in records] == [b"b7", b"12", b"b7"]
    ids = EventDecoder(options, {}, joined=True).decode(records).examples.ids
    assert ids is not None
    assert ids[0].tolist() == ids[2].tolist() != ids[1].tolist()
