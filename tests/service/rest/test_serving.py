"""Real serving processes: several on one port, an end that drops nothing, trainers that come and go."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.examples import Task
from service.config import KafkaSettings, Settings, SourceSettings
from service.errors import ConfigurationInvalid
from service.monitoring.prediction_counts import PredictionCounts
from service.rest.serving import run_server
from service.rest.serving_context import counts_folder
from service.wiring import model_paths
from tests.support.serving import (
    LINEAR,
    ServingProcess,
    as_instances,
    checkpoint,
    examples_of,
    free_port,
    metric,
    publish,
    serving_process,
    serving_settings,
    taught,
)

INSTANCES = {"instances": as_instances(examples_of(Task.BINARY, rows=10, seed=7).features)}


def served_version(url: str) -> int:
    """Return the version that a prediction comes from."""
    answer = httpx.post(f"{url}/predict", json=INSTANCES)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["model_version"])


def until(condition: Iterator[bool], seconds: float = 20.0) -> None:
    """Return once `condition` yields true."""
    end = time.monotonic() + seconds
    while not next(condition):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return serving_settings(tmp_path, port=free_port())


def test_serving_goes_on_without_a_trainer_and_follows_the_next_one(settings: Settings, tmp_path: Path) -> None:
    """Without it, predictions end with the trainer, or stay for ever what a dead trainer published."""
    checkpoint(settings, taught(), 3, LINEAR)
    PredictionCounts(counts_folder(settings), ["default"]).predicted("default", 200, 1000, 0.1)
    with serving_process(settings, tmp_path) as server:
        assert served_version(server.url) == 3
        text = httpx.get(f"{server.url}/metrics").text
        assert metric(text, "predictions_total", {"status": "200"}) == 10  # those of an earlier server went with it
        first = taught(seed=1)
        publish(settings, first, 4, epoch=1)
        until(served_version(server.url) == 4 for _ in iter(int, 1))
        answer = httpx.post(f"{server.url}/predict", json=INSTANCES).json()
        expected = first.predictor().predict(examples_of(Task.BINARY, rows=10, seed=7).features)
        assert expected.probabilities is not None
        found = [list(each["probabilities"].values()) for each in answer["predictions"]]
        np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)
        for path in model_paths(settings, "default").publication.rglob("layout-*"):
            path.unlink()
        assert served_version(server.url) == 4
        publish(settings, taught(seed=2), 5, epoch=2)
        until(served_version(server.url) == 5 for _ in iter(int, 1))
        assert server.stop() == 0


def port_is_free(settings: Settings) -> bool:
    """Return whether a server could be started now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.serve.host, settings.serve.port))
        except OSError:
            return False
        return True


def test_several_processes_are_one_server(settings: Settings, tmp_path: Path) -> None:
    """Without it, metrics miss what the other processes did, or a process outlives the server and keeps its port."""
    chosen = settings.model_copy(update={"serve": settings.serve.model_copy(update={"workers": 2})})
    publish(chosen, taught(), 4)
    with serving_process(chosen, tmp_path) as server:
        for _ in range(40):  # each over a connection of its own, so that both processes get some
            assert served_version(server.url) == 4
        texts = [httpx.get(f"{server.url}/metrics").text for _ in range(6)]
        assert {metric(text, "predictions_total", {"status": "200"}) for text in texts} == {400}
        assert {metric(text, "prediction_seconds_count", {}) for text in texts} == {40}
        assert len(list(chosen.resolved_publish_dir().glob(".serve/*/*.counts"))) == 2
        assert not port_is_free(chosen)
        server.stop(signal.SIGKILL)
        until(port_is_free(chosen) for _ in iter(int, 1))


def test_a_request_that_was_begun_is_answered(settings: Settings, tmp_path: Path) -> None:
    """Without it, every restart fails some clients' requests."""
    with serving_process(settings, tmp_path) as server:

        def slowly() -> Iterator[bytes]:
            yield b'{"features": {"price": 1}, '
            server.process.send_signal(signal.SIGTERM)
            until(httpx.get(f"{server.url}/health/ready").status_code == 503 for _ in iter(int, 1))
            time.sleep(2)  # by now the port is closed, and the body is still not complete
            yield b'"label": "late"}'

        answer = httpx.post(
            f"{server.url}/events", content=slowly(), headers={"content-type": "application/json"}, timeout=30
        )
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert server.process.wait(30) == 0


def test_a_port_that_is_taken_is_said_to_be(settings: Settings) -> None:
    """Without it, a second server is a traceback."""
    with (
        socket.create_server((settings.serve.host, settings.serve.port)),
        pytest.raises(ConfigurationInvalid, match=rf"serve\.port.*{settings.serve.port}"),
    ):
        run_server(settings)


def test_a_broker_that_cannot_be_reached_is_a_503(settings: Settings, tmp_path: Path) -> None:
    """Without it, a client cannot tell an outage from its own mistake, nor end the server with Ctrl-C."""
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout=0.5, unreachable_after=0.5)
    chosen = settings.model_copy(update={"source": SourceSettings(kind="kafka"), "kafka": kafka})
    with serving_process(chosen, tmp_path) as server:
        event = {"features": {"price": 1}, "label": "late"}
        for _ in range(2):  # a failure is not remembered under its key
            answer = httpx.post(f"{server.url}/events", json=event, headers={"Idempotency-Key": "k"}, timeout=30)
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
        assert served_version(server.url) == 0
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert server.stop(signal.SIGINT) == 0


def test_what_goes_wrong_is_in_the_output(settings: Settings, tmp_path: Path) -> None:
    """Without it, a server that cannot start ends without a word."""
    (tmp_path / "server").mkdir()
    with socket.create_server((settings.serve.host, settings.serve.port)):
        server = ServingProcess(settings, tmp_path / "server")
        assert server.process.wait(60) != 0
    assert "serve.port" in server.output()
