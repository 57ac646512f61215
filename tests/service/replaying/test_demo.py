"""Pieces of the demo that need no service; the demo as a whole is in ``tests/integration``."""

import os
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from models.datasets import StreamUnknown
from service.errors import DemoFailed, StreamFileInvalid
from service.replaying.demo import DemoOrder, run_demo
from service.replaying.demo_service import DemoService, demo_service, free_port
from service.replaying.demo_stream import open_demo_stream
from service.replaying.replay import Progress
from service.replaying.replay_targets import Delivered


def test_a_stream_of_rivers() -> None:
    """The demo would have nothing to stream, or learn its label as a feature."""
    stream = open_demo_stream("Phishing", None)
    events = [msgspec.json.decode(event) for event in stream.events]
    assert (stream.name, stream.task, len(events)) == ("phishing", "binary", 1250)
    assert {event["label"] for event in events} == {True, False}
    assert all(len(event["features"]) == 9 for event in events)
    assert stream.fraction(Progress(625, Delivered(625), 1.0)) == 0.5


def test_times_of_a_stream_go_with_it() -> None:
    """Event time would be lost."""
    first = msgspec.json.decode(next(iter(open_demo_stream("trump-approval", None).events)))
    assert first["timestamp"].endswith("+00:00")


def test_a_file_for_a_stream(tmp_path: Path) -> None:
    """Nobody could try the service on data of their own."""
    path = tmp_path / "mine.csv"
    path.write_text("x,y\n1,a\n2,b\n")
    stream = open_demo_stream(str(path), "y")
    assert [msgspec.json.decode(event)["label"] for event in stream.events] == ["a", "b"]
    assert stream.fraction(Progress(2, Delivered(2), 1.0)) == 1.0


def test_a_stream_that_is_not_there(tmp_path: Path) -> None:
    """A typo would start a service first, or bring a traceback."""
    with pytest.raises(StreamUnknown, match="shuttle"):
        open_demo_stream("shutle", None)
    with pytest.raises(StreamFileInvalid, match="no such file"):
        open_demo_stream(str(tmp_path / "nowhere.csv"), "y")


def test_another_port_where_the_usual_one_is_taken() -> None:
    """The demo would fail beside anything that listens on port 8000."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        assert free_port(port) != port
    assert free_port(port) == port


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """A demo would mix with, or delete, somebody's data."""
    (tmp_path / "precious").write_text("data")
    with pytest.raises(DemoFailed, match="not empty"):
        run_demo(DemoOrder("phishing", None, leave=True, data_dir=tmp_path, as_json=False))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_settings_for_another_service_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo would write into a production service's data, or topic."""
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "production"))
    monkeypatch.setenv("HEADRACE_SOURCE__KIND", "kafka")
    monkeypatch.setenv("HEADRACE_MODELS__DEFAULT__LEARNER__KIND", "linear")
    settings = DemoService(tmp_path, 4321, "binary").settings
    assert settings.data_dir == tmp_path / "data"
    assert (settings.source.kind, settings.serve.port) == ("log", 4321)
    assert (settings.models["default"].task, settings.models["default"].learner.kind) == ("binary", "linear")


def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would wait for two minutes, and the reason would be deleted with the folder."""
    monkeypatch.setattr(sys, "executable", "/bin/sh")  # takes -P for an option of its own, and complains
    with demo_service(tmp_path, 4321, "binary") as service, pytest.raises(DemoFailed, match="ended with status 2"):
        service.wait_until_ready(lambda _: None)
    assert not any(path.name.startswith("publish") for path in tmp_path.iterdir())


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    """What the demo sets for its service would reach everything that this process starts later."""
    before = dict(os.environ)
    DemoService(tmp_path, 4321, "binary")
    assert dict(os.environ) == before
