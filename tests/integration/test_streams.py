"""Real streams from end to end: through Kafka and through the embedded log, with real processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewPartitions

from consumers.log import LogSink
from consumers.source import NewRecord
from models.examples import Task
from models.learner import LearnerOptions
from models.registry import create_learner
from service.checkpoints import CheckpointStore
from service.decoding.columns import features_from_rows
from tests.support.processes import Installation, installation, total_learned
from tests.support.streams import event_values, rows

MLP = {"learner": {"kind": "mlp", "device": "cpu"}, "checkpoint": {"every_seconds": 1}}


def kafka(address: str) -> dict[str, Any]:
    """Return the sections that name a broker."""
    return {"source": {"kind": "kafka"}, "kafka": {"bootstrap_servers": address}}


def produce(address: str, topic: str, values: list[bytes], partitions: list[int]) -> None:
    """Send `values` to the partitions in turn and wait until the broker has them."""
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=20)
    for number, value in enumerate(values):
        producer.send(topic, value=value, partition=partitions[number % len(partitions)])
    producer.flush()
    producer.close()


def learned_metric(place: Installation) -> float:
    """Return the counter that dashboards show."""
    return place.metric('headrace_events_learned_total{learner="microbatch",model="default"}')


def test_elec2_through_kafka(tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]) -> None:
    """If this fails, a stream of several partitions is not learned exactly once each event."""
    topic = kafka_topic(4)
    produce(kafka_broker, topic, event_values("elec2"), [0, 1, 2, 3])
    with installation(tmp_path, MLP | {"topic": topic}, **kafka(kafka_broker)) as place:
        place.start("up")
        place.wait_until_ready()
        place.wait_until_learned(45_312)
        state = place.wait_for(lambda state: state["state"] == "idle")
        assert total_learned(state) == 45_312
        assert learned_metric(place) == 45_312
        assert set(state["positions"]) == {"0", "1", "2", "3"}
        assert sum(state["lag"].values()) == 0


def test_elec2_through_the_embedded_log(tmp_path: Path) -> None:
    """If this fails, the network at its defaults learns less than it promises, or answers with other numbers."""
    values = event_values("elec2")
    model = MLP | {"microbatch": {"max_size": 64}}
    with installation(tmp_path, model) as place:
        sink = LogSink(place.data_dir / "log" / "events.sqlite")
        for start in range(0, len(values), 5000):
            sink.append([NewRecord(value) for value in values[start : start + 5000]])
        sink.close()
        place.start("up")
        place.wait_until_ready()
        place.wait_until_learned(45_312, 180)
        state = place.wait_for(lambda state: state["state"] == "idle")
        assert total_learned(state) == 45_312
        assert learned_metric(place) == 45_312
        scores = state["scores"]["stream"]
        assert scores["count"] == 45_312
        assert scores["accuracy"] >= 0.78, scores
        assert scores["accuracy"] > scores["majority_accuracy"] + 0.1
        version = state["model_version"]
        asked = [features for features, _ in rows("elec2")[::500]]
        answer = place.http.post("/predict", json={"instances": [{"features": one} for one in asked]}).json()
        assert answer["model_version"] == version
        place.wait_for(lambda state: state["checkpoint"] is not None and state["checkpoint"]["version"] == version)
        own = _own_answers(place, asked)
    served = np.array([[one["probabilities"][label] for label in ("DOWN", "UP")] for one in answer["predictions"]])
    np.testing.assert_allclose(served, own, atol=1e-5)


def _own_answers(place: Installation, asked: list[dict[str, Any]]) -> np.ndarray:
    """Return what the model itself answers, restored from its checkpoint: probabilities of DOWN and UP."""
    checkpoint = CheckpointStore(place.data_dir / "models" / "default" / "checkpoints").load()
    assert checkpoint is not None
    learner = create_learner(LearnerOptions(kind="mlp", device="cpu"), Task(checkpoint.service["task"]))
    learner.restore(checkpoint.learner)
    predictions = learner.predictor().predict(features_from_rows(asked))
    assert predictions.probabilities is not None
    return predictions.probabilities[:, [predictions.classes.index(label) for label in ("DOWN", "UP")]]


def test_a_topic_that_knows_nothing_of_headrace(
    tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]
) -> None:
    """If this fails, people with topics of their own must write a converter before they can try this."""
    topic = kafka_topic(1)
    random = np.random.default_rng(1)
    values = []
    for number in range(2000):
        amount, weight = random.normal(size=2)
        city = "Oslo" if random.random() < 0.5 else "Rome"
        order = {"id": f"o{number}", "amount": amount, "parcel": {"weight": weight}, "secret": number}
        order |= {"city": city, "outcome": {"late": bool(amount + weight + (city == "Oslo") > 0.5)}}
        values.append(json.dumps({"order": order, "ts": 1_763_683_200 + number}).encode())
    produce(kafka_broker, topic, values, [0])
    events = {
        "format": "flat",
        "label": "order.outcome.late",
        "id": "order.id",
        "timestamp": "ts",
        "exclude": ["order.secret"],
    }
    model = MLP | {"topic": topic, "events": events, "microbatch": {"max_size": 32}}
    with installation(tmp_path, model, **kafka(kafka_broker)) as place:
        place.start("up")
        place.wait_until_ready()
        place.wait_until_learned(2000)
        state = place.wait_for(lambda state: state["state"] == "idle")
        assert {feature["name"] for feature in state["features"]} == {
            "order.amount",
            "order.parcel.weight",
            "order.city",
        }
        assert state["scores"]["window"]["accuracy"] > 0.8
        question = {"order.amount": 3.0, "order.parcel.weight": 2.0, "order.city": "Oslo"}
        answer = place.http.post("/predict", json={"features": question}).json()
        assert answer["predictions"][0]["label"] is True


def test_a_partition_that_is_added_is_read_from_its_beginning(
    tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]
) -> None:
    """If this fails, scaling a topic up loses the first events of every new partition."""
    topic = kafka_topic(1)
    values = event_values("weather_noaa")[:900]
    produce(kafka_broker, topic, values[:300], [0])
    with installation(tmp_path, MLP | {"topic": topic}, **kafka(kafka_broker)) as place:
        place.start("up")
        place.wait_until_ready()
        place.wait_until_learned(300)
        admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
        admin.create_partitions({topic: NewPartitions(total_count=3)})
        admin.close()
        produce(kafka_broker, topic, values[300:], [1, 2])
        place.wait_until_learned(900)
        state = place.wait_for(lambda state: state["state"] == "idle")
        assert total_learned(state) == 900
        assert set(state["positions"]) == {"0", "1", "2"}


def test_events_go_to_kafka_and_come_back_learned(
    tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]
) -> None:
    """If this fails, POST /events and Kafka do not go together, or bad events disappear without a trace."""
    topic = kafka_topic(2)
    with installation(tmp_path, MLP | {"topic": topic}, **kafka(kafka_broker)) as place:
        place.start("up")
        place.wait_until_ready()
        body = [{"features": {"x": number % 7, "note": None}, "label": number % 7 > 3} for number in range(200)]
        answer = place.http.post("/events", json=[*body, {"features": 3}])
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 200
        assert [one["index"] for one in answer.json()["rejected"]] == [200]
        place.wait_until_learned(200)
        produce(kafka_broker, topic, [b"{", b"\xff", b'{"features": {"x": [1, "a"]}, "label": true}'], [0, 1])
        state = place.wait_for(lambda state: sum(state["dead_letters"].values()) == 3)
        assert total_learned(state) == 200
        assert place.metric('headrace_dead_letters_total{model="default",reason="malformed"}') == 2


def test_what_a_user_did_wrong_is_said_in_one_line(tmp_path: Path, kafka_broker: str) -> None:
    """If this fails, people meet tracebacks, or nothing at all, where one line would have helped."""
    with installation(tmp_path, MLP | {"topic": "no-such-topic"}, **kafka(kafka_broker)) as place:
        process = place.start("train")
        assert process.wait(60) not in (0, None)
        output = place.log("train")
        assert "no-such-topic" in output
        assert "Traceback" not in output


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """If this fails, the order in which containers start decides whether anything works."""
    with installation(tmp_path, MLP, **kafka("127.0.0.1:1")) as place:
        place.start("up")
        place.wait_until_ready()
        state = place.wait_for(lambda state: state["state"] == "waiting_for_source" and bool(state["errors"]))
        assert "127.0.0.1:1" in state["errors"][-1]["message"]
        answer = place.http.post("/predict", json={"features": {"x": 1}})
        assert answer.status_code == 200
        assert answer.json()["predictions"][0]["label"] is None
        refused = place.http.post("/events", json={"features": {"x": 1}, "label": "a"})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert "Traceback" not in place.log("up")
