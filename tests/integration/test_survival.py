"""What happens when processes are killed and frozen: real ones, with real signals, while clients go on asking."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from consumers.log import LogSink
from consumers.source import NewRecord
from tests.support.processes import Installation, installation, total_learned
from tests.support.training import events

MODEL = {
    "learner": {"kind": "mlp", "device": "cpu"},
    "microbatch": {"max_size": 32, "max_delay_ms": 20},
    "checkpoint": {"every_seconds": 1},
}

QUERY = {"features": {"x": 0.4, "y": -0.1, "city": "Oslo"}}


class Asking:
    """A client that asks the same question again and again, and remembers each answer's version."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.asked = 0
        self.answers: dict[int, set[str]] = {}
        self._stop = threading.Event()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            self.asked += 1
            try:
                answer = self._http.post("/predict", json=QUERY)
            except httpx.TransportError as error:
                self.failures.append(repr(error))
                continue
            if answer.status_code != httpx.codes.OK:
                self.failures.append(answer.text)
                continue
            body = answer.json()
            self.answers.setdefault(body["model_version"], set()).add(str(body["predictions"]))

    def end(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()
        self._http.close()


class Producing:
    """Appends events to the embedded log, a few at a time, so that learning is in mid-stream when something happens."""

    def __init__(self, place: Installation, count: int) -> None:
        self.count = count
        self._sink = LogSink(place.data_dir / "log" / "events.sqlite")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        stream = events(self.count)
        for start in range(0, self.count, 50):
            self._sink.append([NewRecord(value) for value in stream[start : start + 50]])
            time.sleep(0.02)

    def end(self) -> None:
        """Wait for the last event to be in the log."""
        self._thread.join()
        self._sink.close()


def trainer_pid(place: Installation) -> int:
    """Return the process that owns the model, as the model's state has it."""
    status: dict[str, Any] = place.wait_for(lambda state: bool(state["trainer"]["pid"]))
    return int(status["trainer"]["pid"])


def wait_for_another(place: Installation, killed: set[int], goal: int) -> dict[str, Any]:
    """Return the first state that a trainer reports which is none of `killed` and has `goal` events."""
    return place.wait_for(lambda state: state["trainer"]["pid"] not in killed and total_learned(state) >= goal)


def test_a_killed_trainer_comes_back_and_nobody_notices(tmp_path: Path) -> None:
    """If this fails, a crash loses or doubles events, answers fail, or one version has two sets of parameters."""
    with installation(tmp_path, MODEL) as place:
        place.start("up")
        place.wait_until_ready()
        # Long enough to be in mid-stream at each kill, the trainer's imports included.
        producing = Producing(place, 60_000)
        place.wait_until_learned(500)
        asking = Asking(place.port)
        killed: set[int] = set()
        for goal in (1000, 3000, 5000):
            state = wait_for_another(place, killed, goal)
            pid = state["trainer"]["pid"]
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        producing.end()
        wait_for_another(place, killed, producing.count)
        time.sleep(1)
        asking.end()
        assert total_learned(place.state()) == producing.count
        assert place.metric('headrace_events_learned_total{learner="microbatch",model="default"}') == producing.count
        assert asking.failures == []
        assert asking.asked > 100
        assert {version: answers for version, answers in asking.answers.items() if len(answers) > 1} == {}
        assert len(asking.answers) > 10


def test_a_standby_takes_over_from_a_killed_and_from_a_frozen_trainer(tmp_path: Path) -> None:
    """If this fails, one dead machine stops learning, or two trainers write one model."""
    with installation(tmp_path, MODEL, train={"lease_seconds": 1.0}) as place:
        trainers = {
            name: place.start("train", "--model", "default", name=name) for name in ("first", "second", "third")
        }
        place.start("serve")
        place.wait_until_ready()
        producing = Producing(place, 6000)
        place.wait_until_learned(500)
        first = trainer_pid(place)
        os.kill(first, signal.SIGKILL)
        place.wait_for(lambda state: state["trainer"]["pid"] != first)
        frozen = trainer_pid(place)
        os.kill(frozen, signal.SIGSTOP)
        began = time.monotonic()
        place.wait_for(lambda state: state["trainer"]["pid"] not in (first, frozen))
        assert time.monotonic() - began < 20
        os.kill(frozen, signal.SIGCONT)
        producing.end()
        place.wait_until_learned(6000)
        time.sleep(1.5)
        state = place.state()
        assert total_learned(state) == 6000
        assert state["trainer"]["pid"] not in (first, frozen), "the trainer that woke up writes again"
        woken = next(name for name, process in trainers.items() if process.pid == frozen)
        assert trainers[woken].poll() is None, place.log(woken)
        assert "standing by" in place.log(woken)


def test_a_fire_drill_on_a_running_service(tmp_path: Path) -> None:
    """If this fails, operators cannot try out what happens when a device dies before one does."""
    with installation(tmp_path, MODEL) as place:
        place.start("up")
        place.wait_until_ready()
        producing = Producing(place, 4000)
        place.wait_until_learned(1000)
        drill = place.data_dir / "models" / "default" / "device-failure-drill"
        drill.touch()
        place.wait_for(lambda state: state["learner"] == "online")
        answer = place.http.post("/predict", json=QUERY).json()
        assert answer["learner"] == "online"
        assert answer["predictions"][0]["label"] in ("up", "down")
        assert place.metric('headrace_learner_active{learner="online",model="default"}') == 1
        drill.unlink()
        producing.end()
        state = place.wait_for(lambda state: state["learner"] == "microbatch" and total_learned(state) == 4000)
        assert state["events_learned_by"]["online"] > 0


def test_stopping_is_orderly(tmp_path: Path) -> None:
    """If this fails, every deployment costs a recovery, or hangs until it is killed."""
    with installation(tmp_path, MODEL) as place:
        process = place.start("up")
        place.wait_until_ready()
        producing = Producing(place, 500)
        producing.end()
        place.wait_until_learned(500)
        process.terminate()
        assert process.wait(30) == 0
        assert list((place.data_dir / "models" / "default" / "checkpoints").glob("manifest-*.json"))
