"""The trainer's status: written whole, read whole, or not there."""

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from service.monitoring.failing import note_failure
from service.monitoring.histograms import BUCKETS, Histogram, learning_histograms
from service.monitoring.status import CheckpointStatus, ErrorStatus, Status, read_status, write_status


def a_status(**changes: object) -> Status:
    base = Status(
        model="default",
        epoch=3,
        pid=7,
        written_at=1.5,
        state="learning",
        task="binary",
        classes=["late", 1, True],
        features=[{"name": "price", "kind": "number"}],
        events_learned={"microbatch": 12, "online": 3},
        positions={"0": (12, 1)},
        scores={"stream": {"accuracy": 0.5}, "window": {"roc_auc": float("nan")}},
        checkpoint=CheckpointStatus(version=4, written_at=1.0, seconds=0.2),
        errors=[ErrorStatus(at=1.0, message="the broker was away")],
        histograms={name: histogram.to_json() for name, histogram in learning_histograms().items()},
    )
    return msgspec.structs.replace(base, **changes)


def test_a_status_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Without it, counters or classes change on their way to the API (1, true and "1" are three classes)."""
    path = tmp_path / "default" / "status.json"
    write_status(path, a_status())
    found = read_status(path)
    assert found is not None
    assert [type(label) for label in found.classes] == [str, int, bool]
    assert found.scores["window"]["roc_auc"] is None
    assert msgspec.structs.replace(found, scores={}) == a_status(scores={})
    assert [file.name for file in path.parent.iterdir()] == ["status.json"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"model": 3}', b"\xff"])
def test_no_status_or_a_foreign_one_is_none(tmp_path: Path, content: bytes) -> None:
    """Without it, a half-upgraded installation takes down the API of every model."""
    path = tmp_path / "status.json"
    assert read_status(path) is None
    path.write_bytes(content)
    assert read_status(path) is None


def test_readers_never_see_half_a_status(tmp_path: Path) -> None:
    """Without it, a scrape during a write loses a model's metrics."""
    path = tmp_path / "status.json"
    write_status(path, a_status(version=0))
    stop = threading.Event()

    def write() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            write_status(path, a_status(version=version, updates={"microbatch": version}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            found = read_status(path)
            assert found is not None
            assert found.updates.get("microbatch", 0) == found.version
    finally:
        stop.set()
        writer.join()


def test_a_histogram_counts_by_inclusive_upper_bound() -> None:
    """Without it, Prometheus' quantiles are wrong at the bounds."""
    histogram = Histogram([1, 2, 4])
    histogram.observe_many(np.array([[0.5, 1.0], [1.5, 9.0], [np.nan, np.inf]]))
    histogram.observe(2)
    found = histogram.to_json()
    assert found.counts == [2, 2, 0, 1]
    assert histogram.count == 5
    assert found.sum == 14


def test_a_histogram_goes_on_after_a_restart() -> None:
    """Without it, a restarted trainer's histograms reset while its counters go on."""
    histograms = learning_histograms()
    histograms["update_seconds"].observe_many([0.01, 0.2])
    saved = {name: histogram.to_json() for name, histogram in histograms.items()}
    again = learning_histograms(saved)
    again["update_seconds"].observe(0.3)
    assert again["update_seconds"].count == 3
    assert again["update_seconds"].to_json().sum == pytest.approx(0.51)
    assert set(again) == set(BUCKETS)


def test_a_histogram_with_other_bounds_begins_anew() -> None:
    """Without it, an upgrade that changes the bounds mixes counts of two meanings."""
    saved = {"update_seconds": Histogram([1, 2]).to_json()}
    assert len(learning_histograms(saved)["update_seconds"].to_json().counts) == len(BUCKETS["update_seconds"]) + 1


def test_bounds_must_grow() -> None:
    """Without it, a mistyped bound makes a bucket that nothing ever falls into."""
    with pytest.raises(ValueError, match="must grow"):
        Histogram([1, 1])


def test_a_trainer_that_cannot_go_on_leaves_the_reason(tmp_path: Path) -> None:
    """If this fails, whoever added a model over HTTP sees that nobody trains it, and never why."""
    path = tmp_path / "status.json"
    for number in range(12):
        note_failure(path, "shop", 3, "one", ValueError(f"reason {number}"))
    found = read_status(path)
    assert found is not None
    assert (found.state, found.epoch, len(found.errors), found.errors[-1].message) == ("stopped", 3, 10, "reason 11")
    write_status(path, msgspec.structs.replace(found, events_learned={"online": 7}))
    note_failure(path, "shop", 4, "one", ValueError())
    kept = read_status(path)
    assert kept is not None
    assert (kept.events_learned, kept.errors[-1].message) == ({"online": 7}, "ValueError"), "counters do not fall"
    note_failure(path, "shop", 1, "another", ValueError("x"))
    other = read_status(path)
    assert other is not None
    assert (other.events_learned, len(other.errors)) == ({}, 1), "what another model had is not this one's"
