"""The service that a demo shows: ``headrace up`` in a process of its own, on a folder of its own."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.config import Settings, child_environment, load_settings
from service.errors import DeliveryFailed, DemoFailed
from service.settings.yaml_text import as_yaml
from service.supervision.half import end_with_parent

_HOST = "127.0.0.1"
_READY_SECONDS = 120.0
"""PyTorch alone takes many seconds to import on a busy machine."""

_KILL_AFTER = 5.0
"""Seconds beyond ``shutdown_seconds`` that the service gets for ending."""

_LOG_LINES = 8

_MICROBATCH = 64
"""Events; River's shortest streams would fit into two microbatches of the usual size, and be over unpredicted."""


class DemoService:
    """A running service.

    Parameters
    ----------
    folder
        Where its settings, its data and its log are.
    port
        Where it listens.
    task
        What is predicted, as the configuration names it.

    Raises
    ------
    ConfigurationInvalid
        The environment holds a setting that is wrong.
    """

    def __init__(self, folder: Path, port: int, task: str) -> None:
        self.url = f"http://{_HOST}:{port}"
        self.log = folder / "headrace.log"
        self._file = folder / "headrace.yaml"
        # In the environment, so that settings which somebody has there for another service do not count.
        self._environment = child_environment(
            {
                "HEADRACE_DATA_DIR": str(folder / "data"),
                "HEADRACE_PUBLISH_DIR": str(Settings(data_dir=folder / "data").resolved_publish_dir()),
                "HEADRACE_SOURCE__KIND": "log",
                "HEADRACE_SERVE__HOST": _HOST,
                "HEADRACE_SERVE__PORT": str(port),
                # It is for this machine alone, and gone after the demo.
                "HEADRACE_SERVE__TLS_CERTFILE": "null",
                "HEADRACE_SERVE__TLS_KEYFILE": "null",
                "HEADRACE_SERVE__TLS_KEY_PASSWORD": "null",
                "HEADRACE_SERVE__TLS_CLIENT_CAFILE": "null",
                "HEADRACE_SECURITY__API_KEYS_FILE": "null",
            }
        )
        model = {"task": task, "microbatch": {"max_size": _MICROBATCH}}
        self._file.write_text(as_yaml({"models": {"default": model}}), encoding="utf-8")
        self.settings = load_settings(self._file, self._environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        # -P: a folder `models` where somebody happens to stand is not ours (see guard.py).
        command = [sys.executable, "-P", "-m", "service.cli", "up", "--config", str(self._file)]
        with self.log.open("ab") as log:
            # Its own session: a Ctrl-C at the terminal reaches the demo alone, which then ends the service in order.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=end_with_parent(),  # noqa: PLW1509  # the demo has no threads yet
            )

    def wait_until_ready(self, notice: Callable[[float], None]) -> None:
        """Wait until predictions are answered; `notice` is called with the seconds waited.

        Raises
        ------
        DemoFailed
        """
        began = time.monotonic()
        with httpx.Client(base_url=self.url, timeout=5.0) as client:
            while not _is_ready(client):
                waited = time.monotonic() - began
                if waited > _READY_SECONDS:
                    raise DemoFailed(f"the service was not ready within {_READY_SECONDS:g} s; {self.last_words()}")
                notice(waited)
                self.sleep(0.1)

    def sleep(self, seconds: float) -> None:
        """Wait, and see to it that the service still runs.

        Raises
        ------
        DemoFailed
        """
        if self._process is not None and self._process.poll() is not None:
            raise DemoFailed(f"the service ended with status {self._process.returncode}; {self.last_words()}")
        time.sleep(seconds)

    def stop(self) -> None:
        """End the service in order; kill it where that takes too long, or where somebody is in a hurry (Ctrl-C)."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self.settings.shutdown_seconds + _KILL_AFTER)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self._process.kill()
                self._process.wait()
        # Volatile, and outside the folder.
        shutil.rmtree(self.settings.resolved_publish_dir(), ignore_errors=True)

    def last_words(self) -> str:
        """Return how its log ends, for whoever has to find out why it does not work."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "the end of its log:\n" + "\n".join(lines) if lines else "its log is empty"


@contextmanager
def demo_service(folder: Path, port: int, task: str) -> Iterator[DemoService]:
    """Yield a service that has been started; it is gone afterwards, whatever happens."""
    service = DemoService(folder, port, task)
    # A terminal that is closed says SIGHUP.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        service.start()
        yield service
    except DeliveryFailed as error:
        raise DemoFailed(f"{error}; {service.last_words()}") from error
    finally:
        service.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port(wanted: int) -> int:
    """Return `wanted` where nothing listens there, else a port that is free."""
    for port in (wanted, 0):
        try:
            with socket.create_server((_HOST, port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise DemoFailed(f"no port is free on {_HOST}")


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _interrupt(number: int, frame: object) -> None:
    """End as Ctrl-C does: everything in hand is tidied up on the way."""
    del number, frame
    raise KeyboardInterrupt
