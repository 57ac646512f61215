"""The wheel: built as a release is, installed in an environment that has never seen the source, and started there."""

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"service", "consumers", "models"}
LEARNED = 'headrace_events_learned_total{learner="microbatch",model="default"} 4.0'


def without_python() -> dict[str, str]:
    """Return this process's environment without its Python settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


def until(done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something is so; fail where the process ends or a minute passes before that."""
    give_up = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.TransportError):
            if done():
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this process's Python settings but what `environment` adds."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=without_python() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the pinned backend."""
    folder = tmp_path_factory.mktemp("wheel")
    result = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it; the dependencies are lent from this environment."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site_packages = next((folder / "lib").glob("python*/site-packages"))
    # A path file that is reached through another is not read: the editable install of the source stays out.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    uv = Path(sys.executable).with_name("uv")
    result = run(uv, "pip", "install", "--python", python, "--no-deps", "--offline", wheel, cwd=folder)
    assert result.returncode == 0, result.stderr
    return python.parent


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's own project, with a package ``models`` like so many projects have."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the wrong models were imported')\n")
    return tmp_path


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    """Tests or benchmarks would land among everybody's packages, or a package would be missing."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    for package in PACKAGES:
        sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        assert sources <= set(names)


def test_type_checkers_see_the_annotations(wheel: Path) -> None:
    """Whoever writes a network of their own would get no types from these packages."""
    with zipfile.ZipFile(wheel) as archive:
        assert {f"{package}/py.typed" for package in PACKAGES} <= set(archive.namelist())


def test_the_packages_are_the_installed_ones(clean: Path, tmp_path: Path) -> None:
    """The other tests of this file would look at the source and not at the wheel."""
    code = "import consumers, models, service; print(consumers.__file__, models.__file__, service.__file__)"
    result = run(clean / "python", "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert all(str(clean.parent) in path for path in result.stdout.split())


def test_it_starts_anywhere(clean: Path, elsewhere: Path) -> None:
    """A folder named `models` where somebody happens to stand would keep headrace from starting."""
    result = run(clean / "headrace", "--version", cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    assert "0.1.0" in result.stdout


def test_every_command_explains_itself(clean: Path, elsewhere: Path) -> None:
    """The installed program would lack a module that its commands need."""
    result = run(clean / "headrace", "--help", cwd=elsewhere, COLUMNS="200")
    assert result.returncode == 0, result.stderr
    assert [word for word in ("up", "train", "serve", "demo", "replay", "config") if word not in result.stdout] == []


def test_the_whole_service_runs_anywhere(clean: Path, elsewhere: Path) -> None:
    """One of its processes would import the `models` of the folder in which somebody happens to stand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"HEADRACE_SERVE__PORT": str(port), "HEADRACE_PUBLISH_DIR": str(elsewhere / "published")}
    with (elsewhere / "log").open("wb") as log:
        process = subprocess.Popen(
            [clean / "headrace", "up"], cwd=elsewhere, env=without_python() | settings, stdout=log, stderr=log
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            until(lambda: client.get("/health/ready").status_code == 200, process, elsewhere / "log")
            events = [{"features": {"x": n}, "label": n > 1} for n in range(4)]
            assert client.post("/events", json=events).status_code == 202
            until(lambda: LEARNED in client.get("/metrics").text, process, elsewhere / "log")
    finally:
        process.terminate()
        status = process.wait(40)
    assert status == 0, (elsewhere / "log").read_text()


def test_a_package_in_the_way_is_named(clean: Path, elsewhere: Path) -> None:
    """Somebody else's `models` would be imported, and fail far from the cause."""
    result = run(clean / "headrace", "--version", cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert result.returncode != 0
    assert str(elsewhere / "models") in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr
