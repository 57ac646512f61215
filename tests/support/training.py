"""A trainer in this process, over a source in memory: for tests that need its inside."""

import csv
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from consumers.source import Source
from models.examples import Task
from models.learner import Learner, LearnerState
from service.config import ModelSettings, Settings
from service.durability.lease import Lease
from service.learning import trainer_process
from service.learning.model import Model
from service.learning.trainer_process import start_trainer
from service.monitoring.status import Status, read_status
from service.trainer import Trainer
from service.wiring import model_paths


def settings(folder: Path, **model: Any) -> Settings:
    """Return settings of a model `default` below `folder`."""
    chosen: dict[str, Any] = {
        "learner": {"kind": "linear", "device": "cpu"},
        "microbatch": {"max_size": 16, "max_delay_ms": 10, "adaptive": False},
        "checkpoint": {"every_seconds": 0.2},
    } | model
    return Settings(
        data_dir=folder / "data", publish_dir=folder / "publish", models={"default": ModelSettings(**chosen)}
    )


def open_model(
    chosen: Settings, source: Source, make_learner: Callable[[Task], Learner] | None = None, lease_seconds: float = 1.0
) -> Model:
    """Claim the model `default` and return it; a thread reads `source`."""
    lease = Lease.acquire(model_paths(chosen, "default").lease, lease_seconds=lease_seconds)
    assert lease is not None
    return trainer_process.open_model(chosen, "default", lease, source=source, make_learner=make_learner)


class Running:
    """A trainer that runs in a thread."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.error: BaseException | None = None
        self.trainer: Trainer = start_trainer(model)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.trainer.run()
        # Whatever it is, the test that waits is to see it.
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def status(self) -> Status:
        """Return what it reports."""
        status = read_status(self.model.paths.status)
        assert status is not None
        return status

    def wait_for(self, condition: Callable[[Status], bool], seconds: float = 30.0) -> Status:
        """Return the first status that fulfils `condition`; raise what ended the trainer."""
        until = time.monotonic() + seconds
        while True:
            status = read_status(self.model.paths.status)
            if status is not None and condition(status):
                return status
            if self.error is not None:
                raise self.error
            assert time.monotonic() < until, f"it did not happen in time; the status was {status}"
            time.sleep(0.02)

    def end(self) -> None:
        """Stop in order, and let everything go."""
        self.trainer.stop()
        self._thread.join()
        self.model.close()
        self.model.lease.release()


@contextmanager
def running(model: Model) -> Iterator[Running]:
    """Run a trainer for a while."""
    run = Running(model)
    try:
        yield run
    finally:
        run.end()


def learned(count: int) -> Callable[[Status], bool]:
    """Return whether `count` events are learned, as a condition to wait for."""
    return lambda status: sum(status.events_learned.values()) >= count


def same_state(one: LearnerState, other: LearnerState) -> bool:
    """Return whether two states are the same, bit for bit; what is not a number equals itself."""
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(array, other.arrays[name], equal_nan=array.dtype.kind == "f")
        for name, array in one.arrays.items()
    )


def events(count: int, seed: int = 0, first: int = 0) -> list[bytes]:
    """Return `count` events of a simple binary stream, as JSON; the classes are `up` and `down`."""
    random = np.random.default_rng(seed + first)
    found = []
    for number in range(first, first + count):
        x, y = random.normal(size=2)
        label = "up" if x + y > 0 else "down"
        city = ("Oslo", "Rome", "Lima")[number % 3]
        found.append(json.dumps({"features": {"x": x, "y": y, "city": city}, "label": label}).encode())
    return found


def write_table(path: Path, messages: Sequence[bytes], label: str) -> Path:
    """Write what :func:`events` made as CSV, with this column of labels; return its path."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "city", label])
        for event in map(json.loads, messages):
            writer.writerow([*event["features"].values(), event["label"]])
    return path
