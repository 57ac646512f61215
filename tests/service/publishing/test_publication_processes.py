"""Publication between real processes: killed in the middle, hammered, mounted read-only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.publication import Publisher
from service.publishing.subscription import Subscription
from tests.support.publishing import publish, version_of

REPOSITORY = Path(__file__).parents[3]


def run_child(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_trainer_killed_while_it_publishes(tmp_path: Path) -> None:
    """Half an update would stay behind and be served, or keep servers waiting."""
    code = """
import os, sys
from pathlib import Path
import tests.support.publishing as t
from service.publication import Publisher
from service.publishing.publication_changes import Changes
folder = Path(sys.argv[1])
publisher = Publisher(folder, 1)
for version in range(10):
    t.publish(publisher, version)
def die_after_half(self, source, target, since):
    target["weights"][:25] = 99
    os._exit(9)
Changes.copy = die_after_half
t.publish(publisher, 10)
"""
    child = run_child(code, tmp_path)
    assert child.wait(60) == 9, child.communicate()
    child.communicate()
    reader = Subscription(tmp_path)
    assert version_of(reader) == 9
    publish(Publisher(tmp_path, 2), 10)
    assert version_of(reader) == 10


HAMMER_WRITER = """
import sys, time
from pathlib import Path
import numpy as np
import tests.support.publishing as t
from models.learner import Published
from service.publication import Publisher
folder, size, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
publisher = Publisher(folder, 1)
arrays = {f"array {number}": np.zeros(size, np.float32) for number in range(8)}
version, until = 0, time.monotonic() + seconds
while time.monotonic() < until:
    version += 1
    for array in arrays.values():
        array.fill(version % 2**20)
    publisher.publish(Published(t.SPEC, arrays), t.header(version))
print(version)
"""


HAMMER_READER = """
import sys, time
from pathlib import Path
import tests.support.publishing as t
from service.publishing.subscription import Subscription
folder, slowness, seconds = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
reader = Subscription(folder)
until, reads, calls, last = time.monotonic() + seconds, 0, 0, 0
def compute(view):
    global calls
    calls += 1
    before = t.values(view)
    time.sleep(slowness)
    return before | t.values(view)
while time.monotonic() < until:
    if not reads and not reader.refresh():
        continue
    header, seen = reader.read(compute)
    assert seen == {float(header["version"] % 2**20)}, (header, seen)
    assert header["version"] >= last
    last, reads = header["version"], reads + 1
print(reads, calls, last)
"""


@pytest.mark.parametrize("size", [150, 30_000], ids=["5 KB", "1 MB"])
def test_hammering(tmp_path: Path, size: int) -> None:
    """Under load an answer would mix two versions."""
    writer = run_child(HAMMER_WRITER, tmp_path, size, 2.5)
    readers = [run_child(HAMMER_READER, tmp_path, slowness, 2.5) for slowness in (0.0, 0.004)]
    outputs = []
    for process in (writer, *readers):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append(output.split())
    published = int(outputs[0][0])
    assert published > 100
    for reads, _, last in outputs[1:]:
        assert int(reads) > 20
        assert int(last) > 0


def mounting(script: str) -> list[str]:
    """Return the beginning of a command that runs the rest of it after `script`, which may mount; or skip the test."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{script} && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let tests mount anything")
    return command


def test_a_full_tmpfs(tmp_path: Path) -> None:
    """The trainer would be killed by a signal when it touches memory that is not there."""
    code = """
import sys
from pathlib import Path
import tests.support.publishing as t
from service.errors import StorageFailed
from service.publication import Publisher
from service.publishing.subscription import Subscription
folder = Path(sys.argv[1])
publisher, reader = Publisher(folder, 1), Subscription(folder)
t.publish(publisher, 1)
try:
    t.publish(publisher, 2, shape=(100_000, 3))
except StorageFailed as error:
    print(t.version_of(reader), error)
"""
    command = mounting(f'mount -t tmpfs -o size=2m none "{tmp_path}"')
    child = [*command, sys.executable, "-c", code, str(tmp_path / "model")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(child, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 cannot publish to")


def test_a_reader_on_a_read_only_mount(tmp_path: Path) -> None:
    """A server whose container mounts the publication read-only could not read it."""
    publish(Publisher(tmp_path / "model", 1), 5)
    code = (
        "import sys; from pathlib import Path; import tests.support.publishing as t;"
        "from service.publishing.subscription import Subscription;"
        "folder = Path(sys.argv[1]);"
        "print(t.version_of(Subscription(folder)));"
        "(folder / 'x').touch()"
    )
    command = mounting(f'mount --bind "{tmp_path}" "{tmp_path}" && mount -o remount,bind,ro "{tmp_path}"')
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    child = [sys.executable, "-c", code, str(tmp_path / "model")]
    done = subprocess.run([*command, *child], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip() == "5", done.stderr
    assert "Read-only file system" in done.stderr
