"""The label join in /metrics: what an alert on labels that do not come would look at."""

from pathlib import Path

import pytest

from service.joining.join import Join
from service.joining.outcomes import OUTCOMES
from service.monitoring.join_metrics import join_metrics
from service.monitoring.status import Status
from service.settings.join import JoinSettings
from tests.support.joining import Row, examples_of


def test_what_waits_and_what_became_of_the_rest_is_in_the_metrics(tmp_path: Path) -> None:
    """Nobody would be told that labels come too late, or find nothing."""
    join = Join(JoinSettings(wait=10), tmp_path)
    rows = [Row(name, 1.0, None, float(name)) for name in range(1, 5)]
    rows += [Row(1, None, "a", 6.0), Row(9, None, "a", 7.0), Row(5, 1.0, None, 13.0)]
    examples, track = examples_of(rows, 0)
    join.take(examples, track)
    status = Status(model="m", epoch=1, pid=1, written_at=0.0, state="idle", join=join.status())
    found = {
        (sample.name, sample.labels.get("outcome", sample.labels.get("le", ""))): sample.value
        for family in join_metrics([status])
        for sample in family.samples
    }
    counts = {outcome: found["headrace_label_join_total", outcome] for outcome in OUTCOMES}
    assert counts == dict.fromkeys(OUTCOMES, 0) | {"joined": 1, "timed_out": 1}
    assert found["headrace_join_observations", ""] == 3
    assert found["headrace_join_labels", ""] == 1
    assert found["headrace_join_bytes", ""] > 0
    assert found["headrace_join_oldest_seconds", ""] == 10
    assert found["headrace_join_matched_share", ""] == pytest.approx(0.5)
    assert (found["headrace_label_delay_seconds_bucket", "1.0"], found["headrace_label_delay_seconds_sum", ""]) == (
        0,
        5,
    )
    assert not list(join_metrics([Status(model="m", epoch=1, pid=1, written_at=0.0, state="idle")]))
