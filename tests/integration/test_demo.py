"""The demo as its users run it: a real service, a real stream, and nothing left behind."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from service.config import Settings
from tests.support.processes import free_port

PATIENCE = 120.0
"""Seconds; importing PyTorch takes a while on a busy machine."""


def start_demo(folder: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    """Start ``headrace demo`` with `folder` for its working and its temporary directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environment = {f"HEADRACE_{name}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("headrace")), "demo", *arguments],
        cwd=folder,
        env=kept | environment | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listens(port: int) -> bool:
    """Whether anything answers on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def publication(demo: "subprocess.Popen[str]", folder: Path) -> Path:
    """Return the folder, mostly in memory, in which a demo publishes what it learns in `folder`."""
    until = time.monotonic() + PATIENCE
    while demo.poll() is None and time.monotonic() < until:
        for found in folder.glob("headrace-demo-*"):
            publishes_in = Settings(data_dir=found / "data").resolved_publish_dir()
            if publishes_in.exists():
                return publishes_in
        time.sleep(0.02)
    raise AssertionError("the demo published nothing")


def test_a_demo_that_ends_with_its_stream(tmp_path: Path) -> None:
    """`make run` would not learn its stream, would count wrong, or would leave processes and files behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start_demo(tmp_path, "--stream", "phishing", "--exit", "--json", SERVE__PORT=port)
        published_in = publication(demo, tmp_path)
        out, err = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert (result["stream"], result["task"]) == ("phishing", "binary")
    assert result["events"] == result["accepted"] == result["events_learned"] == 1250
    assert result["model_version"] > 0
    assert 0.5 < result["scores"]["majority_accuracy"] < result["scores"]["accuracy"] <= 1
    assert f"port {port} is taken" in err
    assert not listens(int(result["address"].rpartition(":")[2]))
    assert list(tmp_path.iterdir()) == []
    assert not published_in.exists()


def test_a_demo_stays_up_until_it_is_told_to_end(tmp_path: Path) -> None:
    """Nobody could ask the model that was learned before their eyes."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the wrong models were imported')\n")
    (tmp_path / "stream.csv").write_text(
        "x,y\n" + "".join(f"{n % 7},{'odd' if n % 2 else 'even'}\n" for n in range(600))
    )
    arguments = ["--stream", "stream.csv", "--label", "y", "--data-dir", "kept"]
    port = free_port()
    demo = start_demo(tmp_path, *arguments, SERVE__PORT=port)
    try:
        assert demo.stdout is not None
        shown = ""
        give_up = time.monotonic() + PATIENCE
        while "until Ctrl-C" not in shown:
            assert time.monotonic() < give_up, shown
            line = demo.stdout.readline()
            assert line, f"it ended early\n{shown}\n{demo.stderr.read() if demo.stderr else ''}"
            shown += line
        assert "600 events learned" in shown
        command = re.search(r"Ask: +(curl .*)", shown)
        assert command is not None
        words = shlex.split(command[1])
        assert words[2] == f"http://127.0.0.1:{port}/predict"
        headers = dict([words[words.index("-H") + 1].split(": ")])
        answer = httpx.post(words[2], content=words[words.index("-d") + 1], headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["label"] in ("odd", "even")
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0
    assert not listens(port)
    assert list((tmp_path / "kept" / "data" / "models" / "default" / "checkpoints").glob("manifest-*.json"))
