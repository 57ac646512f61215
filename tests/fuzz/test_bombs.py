"""A small message must never become large: neither its events nor what is made of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_no_input_of_a_few_megabytes_takes_more_memory_than_there_is() -> None:
    """Fails when one message or request can end the process that reads it, or is judged otherwise than it should."""
    tried = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.bombs"], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr
