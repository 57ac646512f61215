"""Subscription: every answer is of one version, whatever the trainer does meanwhile."""

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import PublicationMissing
from service.publication import Publisher
from service.publishing import fence
from service.publishing.subscription import Subscription, View
from tests.support.publishing import ManualClock, header, publish, values, version_of


def test_views_are_read_only_and_not_copied(tmp_path: Path) -> None:
    """A mistake in a server would change what all servers answer; or each request would copy the model."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(publisher, 1)

    def write(view: View) -> None:
        view.arrays["weights"][0] = 3

    with pytest.raises(ValueError, match="read-only"):
        reader.read(write)
    assert not reader.read(lambda view: view.arrays["weights"].flags.owndata)[1]
    assert version_of(reader) == 1


def test_a_computation_that_is_overtaken_runs_again(tmp_path: Path) -> None:
    """An answer would come from half of one version and half of another."""
    clock = ManualClock()
    publisher, reader = Publisher(tmp_path, 1, clock=clock), Subscription(tmp_path)
    publish(publisher, 1)
    clock.now += 1
    publish(publisher, 2)
    publish(publisher, 3)
    calls: list[int] = []

    def overtaken_twice(view: View) -> set[float]:
        before = values(view)
        if len(calls) < 2:
            for _ in range(2):
                publish(publisher, view.header["version"] + 1)
                publish(publisher, view.header["version"] + 2)
        calls.append(view.generation)
        return before | values(view)

    found, seen = reader.read(overtaken_twice)
    assert len(calls) == 3
    assert seen == {float(found["version"])}


def test_a_slow_computation_gets_a_copy(tmp_path: Path) -> None:
    """Requests for many rows would never be answered while the trainer is fast."""
    clock = ManualClock()
    publisher, reader = Publisher(tmp_path, 1, clock=clock), Subscription(tmp_path)
    publish(publisher, 0)
    version = [0]
    caches = []

    def always_overtaken(view: View) -> set[float]:
        before = values(view)
        for _ in range(6):
            clock.now += 1
            version[0] += 1
            publish(publisher, version[0])
        caches.append(view.cache)
        return before | values(view)

    last = -1
    for _ in range(3):
        found, seen = reader.read(always_overtaken)
        assert seen == {float(found["version"])}
        assert found["version"] > last
        last = found["version"]
    assert caches[-1] == {}


def test_versions_never_go_back(tmp_path: Path) -> None:
    """A client would see an older model after a newer one."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(publisher, 0)
    stop = threading.Event()

    def keep_publishing() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            publish(publisher, version)
            time.sleep(0.0005)

    slow = False

    def now_and_then_slow(view: View) -> set[float]:
        before = values(view)
        if slow:
            time.sleep(0.005)
        return before | values(view)

    thread = threading.Thread(target=keep_publishing)
    thread.start()
    last, until = 0, time.monotonic() + 2.5
    while time.monotonic() < until:
        slow = not slow
        found, seen = reader.read(now_and_then_slow)
        assert seen == {float(found["version"])}
        assert found["version"] >= last
        last = found["version"]
    stop.set()
    thread.join()


def test_versions_never_go_back_where_the_trainer_dies_while_a_slow_reader_reads(tmp_path: Path) -> None:
    """A reader that was overtaken would be given the steady version, an older one, though the newest stays for good."""
    publisher, reader = Publisher(tmp_path, 1, clock=lambda: 0.0), Subscription(tmp_path)
    for version in range(4):
        publish(publisher, version)
    assert reader.header()["version"] == 3
    versions = iter(range(4, 12))

    def overtaken_twice(view: View) -> set[float]:
        for version in (*itertools.islice(versions, 4),):
            publish(publisher, version)
        return values(view)

    found, seen = reader.read(overtaken_twice)
    assert (found["version"], seen) == (11, {11.0})


def test_versions_never_go_back_where_the_steady_one_stays_for_long(tmp_path: Path) -> None:
    """On a busy machine the steady version is held for seconds: a slow reader would be given it after newer ones."""
    publisher, reader = Publisher(tmp_path, 1, clock=lambda: 0.0), Subscription(tmp_path)
    for version in range(4):
        publish(publisher, version)
    assert reader.header()["version"] == 3
    versions = itertools.count(4)

    def always_overtaken(view: View) -> set[float]:
        before = values(view)
        for version in itertools.islice(versions, 4):
            publish(publisher, version)
        return before | values(view)

    last = 3
    for _ in range(3):
        found, seen = reader.read(always_overtaken)
        assert seen == {float(found["version"])}
        assert found["version"] > last
        last = found["version"]


def test_errors_of_the_computation(tmp_path: Path) -> None:
    """A bad request would be taken for a bad read and tried for ever; or a bad read for a bad request."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(publisher, 0)
    publish(publisher, 1)

    def wrong(view: View) -> None:
        raise KeyError("price")

    with pytest.raises(KeyError, match="price"):
        reader.read(wrong)
    tries = []

    def confused(view: View) -> int:
        tries.append(1)
        if len(tries) == 1:
            for version in range(2, 10):
                publish(publisher, version)
            raise IndexError("half an update")
        return int(view.header["version"])

    assert reader.read(confused)[1] == 9


def test_the_cache_stays_with_its_place(tmp_path: Path) -> None:
    """A predictor would be built for every request, or would look at arrays of a file that is gone."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    built = []

    def through_cache(view: View) -> float:
        if "arrays" not in view.cache:
            built.append(1)
            view.cache["arrays"] = view.arrays
        return float(view.cache["arrays"]["scalar"])

    for version in range(100):
        publish(publisher, version)
        assert reader.read(through_cache) == (header(version), float(version))
    assert len(built) <= 4
    publish(publisher, 100, spec={"another": 1})
    assert reader.read(through_cache)[1] == 100.0


def test_threads_share_a_subscription(tmp_path: Path) -> None:
    """A server with several threads would mix versions or crash while it attaches anew."""
    publisher, reader = Publisher(tmp_path, 1), Subscription(tmp_path)
    publish(publisher, 0)
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_reading() -> None:
        try:
            while not stop.is_set():
                version_of(reader)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=keep_reading) for _ in range(4)]
    for thread in threads:
        thread.start()
    until, version = time.monotonic() + 1.0, 0
    while time.monotonic() < until:
        version += 1
        publish(publisher, version, shape=(50 + version // 200, 3))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_starved_reader_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request would hang for ever where not even a copy can be had."""
    clock = ManualClock()
    publisher, reader = Publisher(tmp_path, 1, clock=clock), Subscription(tmp_path, clock)
    publish(publisher, 1)
    for place in range(4):
        file = publisher._file
        assert file is not None
        file.slots[place].words[0] = 1

    def sleep(_: float) -> None:
        clock.now += 1

    monkeypatch.setattr("service.publishing.subscription.time.sleep", sleep)
    with pytest.raises(PublicationMissing, match="faster"):
        reader.read(values)


@pytest.fixture(params=["other processors", "no library", "x86"])
def a_fence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    if request.param == "no library":

        def missing(_: object) -> None:
            raise OSError("no such library")

        monkeypatch.setattr("service.publishing.fence.ctypes.CDLL", missing)
    return fence.find_fence("x86_64" if request.param == "x86" else "aarch64", "Linux")


def test_every_fence_can_be_called(a_fence: Callable[[], None]) -> None:
    """On ARM, publishing and reading would fail, or go without a fence."""
    a_fence()
