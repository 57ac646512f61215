"""A rollback under load, with real processes: nobody notices but by the answers."""

from pathlib import Path

from benchmarks.rollback import measure


def test_a_rollback_under_load_fails_no_request_and_brings_the_old_answers_back(tmp_path: Path) -> None:
    """If this fails, going back costs requests, or answers go on coming from what was gone back from."""
    found = measure(tmp_path, rounds=1, clients=2)
    assert found["failed"] == 0
    (turn,) = found["rounds"]
    assert turn["stale_after_acknowledged"] == 0
    assert turn["same_answers"]
