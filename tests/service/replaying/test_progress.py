"""Progress on a stream that is no terminal: lines now and then, and always the last."""

import pytest

from service.replaying.progress import StreamProgress


def test_how_it_ended_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is learned within a second would seem to have stopped at its first rows."""
    with StreamProgress("learning past.csv") as progress:
        for done in range(1, 11):
            progress.show(done / 10, done * 100, 50.0)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "learning past.csv:  10%, 100 events, 50/s"
    assert last == "learning past.csv: 100%, 1,000 events, 50/s"


def test_nothing_is_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream's end would be reported as two."""
    with StreamProgress("learning past.csv") as progress:
        progress.show(None, 7, 7.0, "accuracy 0.5")
    assert capsys.readouterr().err.splitlines() == ["learning past.csv: 7 events, 7/s, accuracy 0.5"]
