"""Progress: a bar on a terminal; elsewhere lines now and then, and always the last."""

import io

import pytest
from rich.console import Console

from service.replaying.progress import StreamProgress


def test_a_bar_on_a_terminal() -> None:
    """A person would see nothing for minutes."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140)
    with StreamProgress("replaying a.csv", console) as progress:
        progress.show(0.5, 1234, 5678.0, "accuracy 0.9")
    for part in ("replaying a.csv", "1,234 events", "5,678/s", "accuracy 0.9"):
        assert part in screen.getvalue()


def test_a_line_now_and_then_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """A log would fill with control characters, or with a line for each batch."""
    with StreamProgress("replaying a.csv", Console(file=io.StringIO())) as progress:
        for _ in range(100):
            progress.show(0.5, 1234, 5678.0, "accuracy 0.9")
    assert capsys.readouterr().err == "replaying a.csv:  50%, 1,234 events, 5,678/s, accuracy 0.9\n"


def test_how_it_ended_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is learned within a second would seem to have stopped at its first rows."""
    with StreamProgress("learning past.csv") as progress:
        for done in range(1, 11):
            progress.show(done / 10, done * 100, 50.0)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "learning past.csv:  10%, 100 events, 50/s"
    assert last == "learning past.csv: 100%, 1,000 events, 50/s"
