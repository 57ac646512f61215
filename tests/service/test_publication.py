"""Publication: servers find the newest version, whatever becomes of the trainer and its files."""

import json
import resource
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from models.learner import Published
from service.errors import PublicationMissing, StorageFailed
from service.publication import Publisher
from service.publishing.publication_layout import files_newest_first
from service.publishing.subscription import Subscription
from tests.support.publishing import SPEC, ManualClock, filled, header, publish, values, version_of


def test_what_is_published_is_read(tmp_path: Path) -> None:
    """Servers would answer from other parameters than the trainer has."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    for version in range(30):
        publish(publisher, version)
        found, seen = reader.read(values)
        assert found == header(version)
        assert seen == {float(version)}
    shapes = reader.read(lambda view: {name: (a.shape, a.dtype.str) for name, a in view.arrays.items()})[1]
    assert shapes == {
        "weights": ((50, 3), "<f4"),
        "counts": ((7,), "<i8"),
        "empty": ((0, 4), "<f4"),
        "scalar": ((), "<f8"),
    }
    assert reader.read(lambda view: view.spec)[1] == SPEC


def test_nothing_is_published(tmp_path: Path) -> None:
    """A server that starts first would crash, or never find the trainer."""
    reader = Subscription(tmp_path / "nowhere")
    assert not reader.refresh()
    with pytest.raises(PublicationMissing, match="headrace train"):
        reader.read(values)
    publish(Publisher(tmp_path / "nowhere", 1), 1)
    assert version_of(reader) == 1


def test_layout_changes_are_followed(tmp_path: Path) -> None:
    """New classes and features would never reach the servers."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    version = 0
    for rows in (50, 60, 60, 70):
        for spec in ({"classes": 2}, {"classes": 3}):
            for _ in range(3):
                version += 1
                publish(publisher, version, spec=spec, shape=(rows, 3))
                assert version_of(reader) == version
                assert reader.read(lambda view: (view.spec, view.arrays["weights"].shape))[1] == (spec, (rows, 3))
    assert len(files_newest_first(tmp_path)) == 2


def test_header_that_grows(tmp_path: Path) -> None:
    """A long header would be cut, or run into the arrays."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    for version, length in enumerate((0, 10, 900, 5000, 100_000)):
        publisher.publish(filled(version), {"version": version, "note": "x" * length})
        assert reader.read(values) == ({"version": version, "note": "x" * length}, {float(version)})


def test_many_slots_and_few(tmp_path: Path) -> None:
    """The choice of slots would depend on there being four."""
    for slots in (3, 5, 8):
        clock = ManualClock()
        publisher, reader = Publisher(tmp_path / str(slots), 1, slots, clock), Subscription(tmp_path / str(slots))
        for version in range(50):
            publish(publisher, version)
            clock.now += 0.01
            assert version_of(reader) == version
    with pytest.raises(ValueError, match="3 slots"):
        Publisher(tmp_path, 1, 2)


def test_a_restarted_trainer_is_followed(tmp_path: Path) -> None:
    """Servers would have to be restarted with the trainer."""
    reader = Subscription(tmp_path)
    for epoch in (1, 2, 5):
        publish(Publisher(tmp_path, epoch), 10 * epoch)
        assert version_of(reader) == 10 * epoch


def test_a_former_owner_is_not_listened_to(tmp_path: Path) -> None:
    """Answers would swing between two trainers."""
    former, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(former, 1)
    assert version_of(reader) == 1
    publish(Publisher(tmp_path, 2), 2)
    publish_slot = former._file
    assert publish_slot is not None
    former._write(publish_slot, 0, filled(9), json.dumps(header(9)).encode())
    assert version_of(reader) == 2
    assert version_of(Subscription(tmp_path)) == 2


def test_a_former_owner_that_wakes_up_is_published_where_nobody_looks(tmp_path: Path) -> None:
    """Servers would go back to an older version when a trainer wakes up that was taken over from."""
    clock = ManualClock()
    former, reader = Publisher(tmp_path, 1, clock=clock), Subscription(tmp_path)
    publish(former, 1)
    for late in (former, Publisher(tmp_path, 1, clock=clock)):
        publish(Publisher(tmp_path, 2), 2)
        assert version_of(reader) == 2
        for _ in range(13):
            clock.now += 1
            publish(late, 1)
            assert version_of(reader) == 2
            assert version_of(Subscription(tmp_path)) == 2


def test_an_unannounced_file_is_found(tmp_path: Path) -> None:
    """A trainer that died before it could announce its new file would leave servers with the old one."""
    clock = ManualClock()
    publish(Publisher(tmp_path / "a", 1), 1)
    reader = Subscription(tmp_path / "a", clock)
    assert version_of(reader) == 1
    publish(Publisher(tmp_path / "b", 2), 2)
    shutil.copytree(tmp_path / "b" / "epoch-000002", tmp_path / "a" / "epoch-000002")
    assert version_of(reader) == 1
    clock.now += 2
    assert version_of(reader) == 2


def test_a_cleared_folder_is_filled_again(tmp_path: Path) -> None:
    """Some systems clear shared memory when a user logs out; new servers would then find nothing."""
    clock = ManualClock()
    publisher = Publisher(tmp_path / "default", 1, clock=clock)
    publish(publisher, 1)
    attached = Subscription(tmp_path / "default")
    assert version_of(attached) == 1
    shutil.rmtree(tmp_path / "default")
    assert version_of(attached) == 1
    clock.now += 2
    publish(publisher, 2)
    assert version_of(Subscription(tmp_path / "default")) == 2
    attached.refresh()
    assert version_of(attached) == 2


def test_old_files_are_removed_after_a_while(tmp_path: Path) -> None:
    """Memory would fill with the files of former trainers."""
    clock = ManualClock()
    for epoch in (1, 2, 3):
        publish(Publisher(tmp_path, epoch), epoch)
    publisher = Publisher(tmp_path, 4, clock=clock)
    publish(publisher, 4)
    (tmp_path / "status.json").write_text("{}")
    for _ in range(13):
        clock.now += 1
        publish(publisher, 4)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["epoch-000004"]
    assert len(files_newest_first(tmp_path)) == 1
    assert (tmp_path / "status.json").exists()
    assert version_of(Subscription(tmp_path)) == 4


@pytest.mark.parametrize("content", [b"", b"x" * 10, bytes(100_000), b"x" * 100_000])
def test_a_file_that_is_none_is_passed_over(tmp_path: Path, content: bytes) -> None:
    """A half-written file would take every server down."""
    publish(Publisher(tmp_path, 1), 1)
    (tmp_path / "epoch-000002").mkdir()
    (tmp_path / "epoch-000002" / "layout-000009").write_bytes(content)
    assert version_of(Subscription(tmp_path)) == 1
    publish(Publisher(tmp_path, 3), 3)
    assert version_of(Subscription(tmp_path)) == 3


def test_a_publication_of_before_a_power_loss_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk, what was not written out when the power went is served as if it were the model."""
    publish(Publisher(tmp_path, 1), 1)
    monkeypatch.setattr("service.publishing.publication_layout.boot_id", lambda: "another boot")
    with pytest.raises(PublicationMissing):
        Subscription(tmp_path).read(values)
    publish(Publisher(tmp_path, 2), 2)
    assert version_of(Subscription(tmp_path)) == 2


def test_no_room(tmp_path: Path) -> None:
    """A full tmpfs would kill the trainer by a signal when it touches the memory."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(publisher, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFailed, match="publish_dir"):
            publish(publisher, 2, shape=(100_000, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert version_of(reader) == 1
    publish(publisher, 3, shape=(100_000, 3))
    assert version_of(reader) == 3
    assert not list(tmp_path.glob("*/new-*"))


def test_only_ranges_that_changed_are_copied(tmp_path: Path) -> None:
    """Publishing would cost as much as the whole model, however little an update changed."""
    size = 100_000
    weights = np.zeros(size, np.float32)
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    for version in range(20):
        publisher.publish(Published(SPEC, {"weights": weights}, {}), header(version))
    weights[:] = 1.0  # all of it, but only the ranges below are said to have changed
    publisher.publish(Published(SPEC, {"weights": weights}, {"weights": [(0, 1), (70_000, 70_100)]}), header(20))
    ones = reader.read(lambda view: int(view.arrays["weights"].sum()))[1]
    assert 101 <= ones <= 101 + 3 * 64


def test_an_interrupted_publication_does_not_spoil_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an exception in the middle, a slot that is being written would look as if it were finished."""
    clock = ManualClock()
    publisher, reader = Publisher(tmp_path, 1, clock=clock), Subscription(tmp_path)
    publish(publisher, 0)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("service.publishing.publication_changes.Changes.copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(publisher, 1)
    assert version_of(reader) == 0
    for version in range(2, 12):
        publish(publisher, version)
        assert version_of(reader) == version


def test_folders_may_go_while_one_looks(tmp_path: Path) -> None:
    """A server that looks for a newer file while a trainer clears old ones away would fail a prediction."""
    publish(Publisher(tmp_path, 900), 9)
    ended = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            folder = tmp_path / f"epoch-{number % 50:06d}"
            folder.mkdir()
            folder.rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(2000):
            assert [path.parent.name for path in files_newest_first(tmp_path)] == ["epoch-000900"]
    finally:
        ended.set()
        thread.join()
