"""Real serving processes: several on one port, an end that drops nothing, trainers that come and go."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.processes import descendants
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


class Asker(threading.Thread):
    """A client with a connection of its own, which it opens again where it breaks."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.answered = self.broken = self.refused = 0
        self.ended = False
        self._url = url

    def run(self) -> None:
        """Ask until it is ended."""
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.ended:
                try:
                    self._ask(client)
                except httpx.TransportError:
                    # Its process was killed; whoever asks again is answered by another one, at once.
                    self.broken += 1
                    self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        status = client.post("/predict", json=INSTANCES).status_code
        self.answered += status == 200
        self.refused += status != 200


def workers_of(pid: int) -> set[int]:
    """Return the serving processes below the one that was started."""
    return {child for child in descendants(pid) if child != pid and "spawn_main" in command_of(child)}


def command_of(pid: int) -> str:
    """Return the command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_worker_that_is_killed_breaks_its_own_connections_alone(settings: Settings, tmp_path: Path) -> None:
    """Without it, the end of one process fails clients of the others, or leaves the server with one fewer."""
    chosen = settings.model_copy(update={"serve": settings.serve.model_copy(update={"workers": 2})})
    publish(chosen, taught(), 4)
    with serving_process(chosen, tmp_path) as server:
        before = workers_of(server.process.pid)
        assert len(before) == 2
        askers = [Asker(server.url) for _ in range(6)]
        for asker in askers:
            asker.start()
        try:
            until(min(asker.answered for asker in askers) > 3 for _ in iter(int, 1))
            os.kill(min(before), signal.SIGKILL)
            until((len(workers_of(server.process.pid) - before) == 1 for _ in iter(int, 1)), seconds=90)
            asked = [asker.answered for asker in askers]
            until(all(asker.answered > was + 3 for asker, was in zip(askers, asked, strict=True)) for _ in iter(int, 1))
        finally:
            for asker in askers:
                asker.ended = True
            for asker in askers:
                asker.join()
        # One that broke and was not answered at once has ended its thread, and would not have gone on above.
        assert [asker.refused for asker in askers] == [0] * 6
        assert max(asker.broken for asker in askers) <= 1
        counted = metric(httpx.get(f"{server.url}/metrics").text, "predictions_total", {"status": "200"})
        answered = 10 * sum(asker.answered for asker in askers)
        assert answered <= counted <= answered + 10 * sum(asker.broken for asker in askers)


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
