"""What all tests of the service have in common."""

import math

import pytest

from service.durability import checkpointing


@pytest.fixture(autouse=True)
def _checkpoints_by_time_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a little learning takes seconds, and a test that wants no checkpoint shall get none by that."""
    if request.path.name != "test_checkpointing.py":
        monkeypatch.setattr(checkpointing, "_MOST_WORK", math.inf)
