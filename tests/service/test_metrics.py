"""/metrics: the trainers' counters as they are, the servers' added up over all processes."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.errors import ConfigurationInvalid
from service.metrics import render_metrics, start_metrics_server, statuses_from_files
from service.monitoring.histograms import learning_histograms
from service.monitoring.prediction_counts import PredictionCounts
from service.monitoring.status import CanaryStatus, CheckpointStatus, PauseStatus, Status, TeacherStatus, write_status

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """Return all samples of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"headrace_{name}", frozenset(({"model": "default"} | labels).items())]


def a_status() -> Status:
    histograms = learning_histograms()
    histograms["freshness_seconds"].observe_many([0.004, 0.02, 99.0])
    return Status(
        model="default",
        epoch=1,
        pid=1,
        written_at=time.time(),
        state="learning",
        task="binary",
        learner="online",
        version=41,
        events_consumed=1003,
        unlabelled=2,
        duplicates=13,
        limited=17,
        events_learned={"microbatch": 900, "online": 100},
        updates={"microbatch": 9, "online": 100},
        updates_skipped={"non_finite": 2},
        dead_letters={"malformed": 1},
        dead_letters_unsent=6,
        dead_letters_unsent_pruned=4,
        lag={"0": 5, "1": 0},
        scores={
            "stream": {"accuracy": 0.75, "count": 1000.0, "scored": 936.0, "loss": 0.5},
            "window": {"accuracy": 0.8, "roc_auc": float("nan")},
        },
        experts={"leaves": {"weight": 0.75, "loss": 0.5}},
        checkpoint=CheckpointStatus(version=40, written_at=time.time() - 3, seconds=0.1),
        device_memory_bytes=77,
        histograms={name: histogram.to_json() for name, histogram in histograms.items()},
    )


def scrape(statuses: Mapping[str, Status | None], served: Mapping[str, tuple[int, float | None]]) -> Samples:
    return samples_of(render_metrics(lambda: statuses, lambda: served, dict).decode())


def test_keys_are_counted_where_there_are_any() -> None:
    """Nobody would notice that small models are spilled faster than they learn; or models without keys would have 0."""
    status = a_status()
    keys = {"known": 30.0, "resident": 10.0, "spilled": 20.0, "evictions": 55.0, "forgotten": 1.0, "weight": 0.5}
    found = scrape({"default": msgspec.structs.replace(status, experts={"keys": keys})}, {})
    assert [value(found, f"keys_{name}") for name in ("known", "resident", "spilled")] == [30, 10, 20]
    assert [value(found, f"keys_{name}_total") for name in ("evictions", "forgotten")] == [55, 1]
    without = scrape({"default": status}, {})
    assert not any(name.startswith("headrace_keys") for name, *_ in without)


def test_learning_metrics_are_what_the_trainer_reports() -> None:
    """Without it, dashboards show something else than the trainer counted."""
    found = scrape({"default": msgspec.json.decode(msgspec.json.encode(a_status()), type=Status)}, {})
    assert value(found, "events_consumed_total") == 1003
    assert value(found, "duplicates_total") == 13
    assert value(found, "limited_total") == 17
    assert value(found, "events_learned_total", learner="microbatch") == 900
    assert value(found, "events_learned_total", learner="online") == 100
    assert value(found, "updates_total", learner="online") == 100
    assert value(found, "updates_skipped_total", reason="non_finite") == 2
    assert value(found, "dead_letters_total", reason="malformed") == 1
    assert value(found, "dead_letters_unsent") == 6
    assert value(found, "dead_letters_unsent_pruned_total") == 4
    assert value(found, "paused", reason="dead_letters") == 0
    assert value(found, "consumer_lag_events", partition="0") == 5
    assert value(found, "prequential_accuracy", window="stream") == 0.75
    assert value(found, "prequential_accuracy", window="recent") == 0.8
    assert value(found, "prequential_loss", window="stream") == 0.5
    assert value(found, "prequential_events", window="stream") == 1000
    assert value(found, "prequential_events_scored", window="stream") == 936
    assert value(found, "learner_active", learner="online") == 1
    assert value(found, "learner_active", learner="microbatch") == 0
    assert value(found, "expert_weight", expert="leaves") == 0.75
    assert value(found, "expert_loss", expert="leaves") == 0.5
    assert value(found, "device_memory_bytes") == 77
    assert value(found, "checkpoint_age_seconds") == pytest.approx(3, abs=2)
    assert value(found, "trainer_up") == 1


def test_drift_shows_in_the_metrics() -> None:
    """Without it, nobody is alerted to a stream that means something else now."""
    found = scrape({"default": msgspec.structs.replace(a_status(), drift=4)}, {})
    assert value(found, "drift_total") == 4


def test_self_repair_shows_in_the_metrics() -> None:
    """Without it, nobody is alerted to a learner that breaks again and again, or to a device that is full."""
    canary = CanaryStatus(verdict="bad", loss=6.5, reference_loss=0.5)
    found = scrape({"default": msgspec.structs.replace(a_status(), rollbacks=3, halvings=2, canary=canary)}, {})
    assert value(found, "rollbacks_total") == 3
    assert value(found, "halvings_total") == 2
    assert value(found, "canary_loss", parameters="current") == 6.5
    assert value(found, "canary_loss", parameters="reference") == 0.5


def test_teaching_shows_in_the_metrics() -> None:
    """Without it, nobody is alerted when a student's teacher cannot be asked any more."""
    teacher = TeacherStatus(model="old", version=None, taught=30, untaught=12, problem="nothing is published")
    found = scrape({"default": msgspec.structs.replace(a_status(), teacher=teacher)}, {})
    assert value(found, "taught_total", teacher="old") == 30
    assert value(found, "untaught_total", teacher="old") == 12


def test_a_pause_shows_in_the_metrics() -> None:
    """Without it, nobody is alerted when learning has stopped for an operator to decide."""
    paused = PauseStatus(reason="dead_letters", detail="too many", since=1.0)
    found = scrape({"default": msgspec.structs.replace(a_status(), paused=paused, state="paused")}, {})
    assert value(found, "paused", reason="dead_letters") == 1
    assert value(found, "trainer_up") == 1


def test_histograms_accumulate_as_prometheus_wants() -> None:
    """Without it, quantiles of freshness are nonsense."""
    found = scrape({"default": a_status()}, {})
    assert value(found, "freshness_seconds_bucket", le="0.005") == 1
    assert value(found, "freshness_seconds_bucket", le="0.025") == 2
    assert value(found, "freshness_seconds_bucket", le="+Inf") == 3
    assert value(found, "freshness_seconds_count") == 3
    assert value(found, "freshness_seconds_sum") == pytest.approx(99.024)
    assert value(found, "microbatch_events_count") == 0


def test_a_model_without_a_trainer_is_down_and_nothing_else() -> None:
    """Without it, a scrape fails, or invents counters, until the first trainer starts."""
    found = scrape({"default": None}, {"default": (0, None)})
    assert value(found, "trainer_up") == 0
    assert value(found, "model_version") == 0
    assert {name for name, _ in found} == {"headrace_trainer_up", "headrace_model_version"}


@pytest.mark.parametrize("change", [{"state": "stopped"}, {"written_at": time.time() - 60}])
def test_a_trainer_that_stopped_or_went_silent_is_down(change: dict[str, object]) -> None:
    """Without it, nobody is alerted to a dead trainer, whose last status stays where it is."""
    assert value(scrape({"default": msgspec.structs.replace(a_status(), **change)}, {}), "trainer_up") == 0


def test_the_served_version_and_its_age() -> None:
    """Without it, nobody sees that old parameters are being served."""
    found = scrape({"default": None}, {"default": (412, time.time() - 20)})
    assert value(found, "model_version") == 412
    assert value(found, "model_age_seconds") == pytest.approx(20, abs=5)


def test_one_process_counts_its_predictions(tmp_path: Path) -> None:
    """Without it, nobody sees how many predictions are answered, refused, or slow."""
    counts = PredictionCounts(tmp_path, ["default", "other"])
    counts.predicted("default", 200, 3, 0.004)
    counts.predicted("default", 422, 1, 0.001)
    counts.predicted("other", 200, 1, 99.0)
    found = samples_of(render_metrics(dict, dict, counts.total).decode())
    assert value(found, "predictions_total", status="200") == 3
    assert value(found, "predictions_total", status="422") == 1
    assert value(found, "prediction_seconds_count") == 2
    assert value(found, "prediction_seconds_sum") == pytest.approx(0.005)
    assert value(found, "prediction_seconds_bucket", le="0.001") == 1
    assert value(found, "prediction_seconds_bucket", le="0.005") == 2
    assert value(found, "prediction_seconds_count", model="other") == 1


_WORKER = """
import sys
from pathlib import Path
from service.monitoring.prediction_counts import PredictionCounts
counts = PredictionCounts(Path(sys.argv[1]), ["default"])
counts.predicted("default", 200, 5, 0.004)
total = counts.total()["default"]
print(total.by_status["200"], sum(total.seconds.counts))
"""


def test_any_process_answers_for_all(tmp_path: Path) -> None:
    """Without it, a scrape of one of several workers misses most predictions, also those of a worker that died."""
    for turn in (1, 2, 3):
        done = subprocess.run(
            [sys.executable, "-c", _WORKER, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [str(5 * turn), str(turn)]


def test_the_trainers_own_port(tmp_path: Path) -> None:
    """Without it, a trainer that runs without a server cannot be scraped."""
    write_status(tmp_path / "status.json", a_status())
    server = start_metrics_server(0, statuses_from_files({"default": tmp_path / "status.json"}))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            found = samples_of(answer.read().decode())
        assert value(found, "events_learned_total", learner="microbatch") == 900
        assert value(found, "model_version") == 41
        with pytest.raises(ConfigurationInvalid, match="metrics_port"):
            start_metrics_server(server.port, dict)
    finally:
        server.close()
