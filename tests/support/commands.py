"""Commands run in this process, as the console script runs them."""

import sys
from typing import NamedTuple

import pytest

from service import cli


class Ended(NamedTuple):
    """How a command ended: its status, and what it printed."""

    status: int
    out: str
    err: str


def run_headrace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run ``headrace ARGUMENTS`` to its end."""
    monkeypatch.setattr(sys, "argv", ["headrace", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return Ended(int(ended.value.code or 0), captured.out, captured.err)
