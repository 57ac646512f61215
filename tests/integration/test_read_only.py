"""The service under what compose.yaml holds it to: nothing but its volumes and /tmp can be written, no capability.

No container engine is needed: the kernel's own namespaces take away the same.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Installation

ROOT = Path(__file__).resolve().parents[2]

CONFINE = """
set -eu
writable=$1; shift
mount --make-rprivate /
mount --bind "$writable" "$writable"
cut -d ' ' -f 2 /proc/self/mounts | while read -r place; do
    case $place in
        "$writable" | /proc* | /sys* ) ;;
        * ) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
    esac
done
for place in . /tmp /var/tmp /dev/shm /etc; do
    if touch "$place/headrace-probe" 2>/dev/null; then
        echo "$place is still writable" >&2
        rm "$place/headrace-probe"
        exit 70
    fi
done
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
"""Takes a folder and a command: everything but the folder becomes read-only, then the command takes over."""


def confined(writable: Path, *command: str) -> list[str]:
    """Return the command that runs `command` with nothing writable but `writable`."""
    script = writable / "confine.sh"
    script.write_text(CONFINE)
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-eu", str(script), str(writable), *command]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Installation]:
    """Start ``up`` as the container would."""
    if (
        sys.platform != "linux"
        or subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system gives no user a namespace of their own (unshare -Urm true)")
    made = Installation(tmp_path, {"learner": {"kind": "linear"}})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "XDG_"))}
    environment |= {"HOME": "/nonexistent", "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "service.cli", "up", "--config", str(made.config)]
    with (tmp_path / "up.log").open("wb") as output:
        process = subprocess.Popen(
            confined(tmp_path, *command),
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    made._processes["up"] = process
    try:
        yield made
    finally:
        made.close()


def test_it_lives_in_a_read_only_container(service: Installation) -> None:
    """Fails when anything is written beside the volumes: bytecode, caches, a home folder, other temporary folders."""
    service.wait_until_ready()
    events = [
        {"features": {"price": n % 5, "city": "Oslo"}, "label": "late" if n % 2 else "on-time"} for n in range(64)
    ]
    assert service.http.post("/events", json=events).json() == {"accepted": 64, "rejected": []}
    service.wait_until_learned(64)
    assert service.http.post("/predict", json={"features": {"price": 3}}).status_code == 200
    service.wait_for(lambda state: state["checkpoint"] is not None)
    said = service.log("up")
    assert "Read-only file system" not in said
    assert "Permission denied" not in said
