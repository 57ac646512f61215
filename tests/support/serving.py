"""A server for tests: in a thread, or as a process of its own; and something for it to serve."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import uvicorn
from fastapi import FastAPI

from consumers.source import Position
from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import Learner, LearnerOptions
from models.registry import create_learner
from service.api import create_app
from service.checkpoints import Checkpoint, CheckpointStore
from service.config import ModelSettings, ServeSettings, Settings
from service.monitoring.status import Status, write_status
from service.publication import Publisher
from service.rest.short_protocol import ShortProtocol
from service.wiring import model_paths

LINEAR = LearnerOptions(kind="linear", device="cpu")
ONLINE = LearnerOptions(kind="online")


def serving_settings(folder: Path, *names: str, **serve: Any) -> Settings:
    """Return settings below `folder` with models of these names, ``default`` where none is given."""
    models = {name: ModelSettings(topic=f"events-{name}") for name in names or ("default",)}
    return Settings(
        data_dir=folder / "data", publish_dir=folder / "publish", models=models, serve=ServeSettings(**serve)
    )


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def examples_of(task: Task, rows: int = 64, seed: int = 0) -> Examples:
    """Return labelled rows with a number, a category and tokens; the number decides the label."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 1))
    cities = [("Oslo", "Rome", None)[i % 3] for i in range(rows)]
    words = [["big", "red"][: i % 3] or None for i in range(rows)]
    features = Features(rows, (FeatureKey("price", Kind.NUMBER),), numbers, {"city": cities}, {"words": words})
    labels: list[Label] = ["late" if x > 0 else "on-time" for x in numbers[:, 0]]
    if task is Task.REGRESSION:
        labels = (3 * numbers[:, 0] + 1).tolist()
    return Examples(features, labels, np.ones(rows, np.float32), np.full(rows, np.nan))


def as_instances(features: Features) -> list[dict[str, Any]]:
    """Return `features` of :func:`examples_of` as a client sends them."""
    return [
        {
            "features": {
                "price": float(features.numbers[row, 0]),
                "city": features.categories["city"][row],
                "words": features.tokens["words"][row],
            }
        }
        for row in range(len(features))
    ]


def taught(task: Task = Task.BINARY, options: LearnerOptions = LINEAR, seed: int = 0) -> Learner:
    """Return a learner that has learned a few rows."""
    learner = create_learner(options, task)
    for turn in range(4):
        learner.learn(examples_of(task, seed=seed + turn))
    return learner


def publish(
    settings: Settings,
    learner: Learner,
    version: int,
    *,
    epoch: int = 1,
    model: str = "default",
    at: float | None = None,
) -> Publisher:
    """Publish the parameters of `learner` as a trainer would."""
    publisher = Publisher(model_paths(settings, model).publication, epoch)
    publisher.publish(learner.published(), header_of(learner, version, model, at))
    return publisher


def header_of(learner: Learner, version: int, model: str = "default", at: float | None = None) -> dict[str, Any]:
    """Return what a trainer publishes with its parameters."""
    return {
        "model": model,
        "version": version,
        "learner": learner.name,
        "published_at": time.time() if at is None else at,
        "restored_from": None,
    }


def checkpoint(
    settings: Settings, learner: Learner, version: int, options: LearnerOptions, model: str = "default"
) -> None:
    """Write a checkpoint of `learner` as a trainer would."""
    service = {"model": model, "task": learner.task.value, "learner": learner.name, "options": _plain(options)}
    CheckpointStore(model_paths(settings, model).checkpoints).save(
        Checkpoint(version, 1, {0: Position(version)}, learner.state(), service, time.time())
    )


def _plain(options: LearnerOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in LearnerOptions.__slots__}


def report(settings: Settings, model: str = "default", **fields: Any) -> None:
    """Write the status of a trainer."""
    status = Status(model=model, epoch=1, pid=1, state="learning", written_at=time.time())
    write_status(model_paths(settings, model).status, msgspec.structs.replace(status, **fields))


@dataclass
class Here:
    """Gives the server an application that is there already; see :class:`service.rest.serving.Application`."""

    settings: Settings
    app: FastAPI

    def __call__(self) -> FastAPI:
        return self.app


@contextmanager
def serving_here(settings: Settings, app: FastAPI | None = None) -> Iterator[httpx.Client]:
    """Serve in a thread of this process, so that a test can reach into it; yield a client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            Here(settings, app or create_app(settings)),
            factory=True,
            http=ShortProtocol,
            proxy_headers=bool(settings.serve.trusted_proxies),
            forwarded_allow_ips=list(settings.serve.trusted_proxies),
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


class ServingProcess:
    """A real server process on a port of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        file = folder / "settings.json"
        file.write_text(settings.model_dump_json())
        program = (
            "import sys; from pathlib import Path; from service.config import Settings; "
            "from service.rest.serving import run_server; "
            "sys.exit(run_server(Settings.model_validate_json(Path(sys.argv[1]).read_text())))"
        )
        self.url = f"http://127.0.0.1:{settings.serve.port}"
        # Not a pipe: nobody reads it meanwhile, and a server that says much would stand still.
        self._output = folder / "server.log"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, str(file)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
            )

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Return once the server says that it is ready."""
        until = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"the server ended: {self.output()}"
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, "the server did not become ready"
            time.sleep(0.05)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Tell it to stop and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(30)

    def output(self) -> str:
        """Return what it has printed so far."""
        return self._output.read_text()


@contextmanager
def serving_process(settings: Settings, folder: Path) -> Iterator[ServingProcess]:
    """Run a real server; it is ready, and it is gone afterwards."""
    server = ServingProcess(settings, folder)
    try:
        server.wait_until_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(30)


def metric(text: str, name: str, labels: Mapping[str, str]) -> float:
    """Return one sample of a scrape; 0 where there is none."""
    wanted = {"model": "default"} | dict(labels)
    for line in text.splitlines():
        if line.startswith(f"headrace_{name}{{"):
            found = dict(pair.split("=", 1) for pair in line[line.index("{") + 1 : line.index("}")].split(","))
            if {key: json.loads(value) for key, value in found.items()} == wanted:
                return float(line.rpartition(" ")[2])
    return 0.0
