"""The commands that look at dead letters, send them again and end a pause: what they print, and what they change."""

import fcntl
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.dead_letters import DeadLetter, DeadLetters
from consumers.errors import AppendFailed
from consumers.log import LogSource
from consumers.source import Position, Record
from consumers.testing import MemorySink
from service import cli
from service.commands import dead_letter_redriving
from service.config import Settings
from service.wiring import log_path, open_dead_letters
from tests.support.topics import read_rest

LETTER = DeadLetter(
    "events",
    0,
    3,
    1,
    "label",
    "'maybe' is no class",
    b"k",
    b'{"label": "maybe"}',
    (("a", b"\x00\xff"),),
    1_763_700_000_000,
)

Headrace = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def headrace(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headrace:
    """Return a function that runs ``headrace dead-letters ARGUMENTS``."""
    config = tmp_path / "headrace.yaml"
    config.write_text(f"data_dir: {settings.data_dir}\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["headrace", "dead-letters", *arguments, "--config", str(config)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def three(settings: Settings) -> None:
    """Keep three letters."""
    table = open_dead_letters(settings, "default")
    table.add([LETTER, replace(LETTER, offset=4, reason="malformed", detail="a\nb" * 60), replace(LETTER, offset=5)])
    table.close()


def sent_again(settings: Settings) -> list[Record]:
    """Return what the topic holds."""
    return read_rest(LogSource(log_path(settings, "events")))


@pytest.mark.usefixtures("three")
def test_the_newest_letters_are_listed(headrace: Headrace) -> None:
    """Without it, an operator does not see what was refused, or sees lines that a producer has broken."""
    status, out, _ = headrace("list", "--limit", "2")
    assert status == 0
    overview, header, *rows = out.splitlines()
    assert overview == "3 events of default could not be used so far: label 2, malformed 1"
    assert header.split() == ["LETTER", "PLACE", "REFUSED", "STATE", "REASON", "DETAIL"]
    assert [row.split()[:2] for row in rows] == [["3", "events/0/5/1"], ["2", "events/0/4/1"]]
    _, out, _ = headrace("list", "--reason", "malformed", "--json")
    answer = json.loads(out)
    assert [each["place"] for each in answer["letters"]] == ["events/0/4/1"]
    assert (answer["counts"], answer["unsent"], answer["paused"]) == ({"label": 2, "malformed": 1}, 0, None)
    _, out, _ = headrace("list", "--state", "redriven", "--json")
    assert json.loads(out)["letters"] == []


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("letter", ["1", "events/0/3/1"])
def test_one_letter_is_shown_whole(headrace: Headrace, letter: str) -> None:
    """Without it, nobody sees the bytes that were refused, or only if they are text."""
    _, out, _ = headrace("show", letter)
    assert '{"label": "maybe"}' in out
    assert "label: 'maybe' is no class" in out
    assert r"a: \x00\xff" in out
    _, out, _ = headrace("show", letter, "--json")
    answer = json.loads(out)
    assert (answer["value"], answer["key"]) == ('{"label": "maybe"}', "k")
    assert answer["headers"] == [{"name": "a", "value_base64": "AP8="}]
    assert answer["timestamp"] == 1_763_700_000


@pytest.mark.usefixtures("three")
def test_letters_are_sent_again_once_each(headrace: Headrace, settings: Settings) -> None:
    """Without it, a second run teaches the model everything twice, or the filters do not hold."""
    _, out, _ = headrace("redrive", "--reason", "label", "--limit", "1")
    assert out == "1 dead letters of default were sent to events again\n"
    _, out, _ = headrace("redrive", "--letter", "1", "--letter", "2", "--json")
    assert json.loads(out) == {"model": "default", "topic": "events", "redriven": 1, "unknown": []}
    assert headrace("redrive", "--letter", "1")[1] == "nothing was sent again: what you asked for was sent before\n"
    assert headrace("redrive")[1].startswith("1 dead letters")
    assert headrace("redrive")[1] == "nothing was sent again\n"
    records = sent_again(settings)
    assert [dict(record.headers)["headrace-redriven"] for record in records] == [
        b"events/0/3/1",
        b"events/0/4/1",
        b"events/0/5/1",
    ]
    assert {record.value for record in records} == {LETTER.value}
    assert len(json.loads(headrace("list", "--state", "redriven", "--json")[1])["letters"]) == 3


@pytest.mark.usefixtures("three")
def test_what_kafka_may_have_is_left_to_the_operator(
    headrace: Headrace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, an interrupted redrive is repeated by guessing, and events are learned twice."""

    class Timeout:
        def append(self, *_: object) -> bool:
            raise AppendFailed("no answer in time")

        def close(self) -> None:
            pass

    kafka = settings.source.model_copy(update={"kind": "kafka"})
    monkeypatch.setattr(
        "service.roster.roster.load_settings", lambda *_: settings.model_copy(update={"source": kafka}), raising=True
    )
    monkeypatch.setattr(dead_letter_redriving, "make_sink", lambda *_: Timeout())
    status, _, err = headrace("redrive", "--letter", "1")
    assert status == 1
    assert "of 1 letters nobody knows" in err
    assert "redrive --model default --again" in err
    working = MemorySink()
    monkeypatch.setattr(dead_letter_redriving, "make_sink", lambda *_: working)
    status, out, _ = headrace("redrive")
    assert "2 dead letters" in out
    assert "of 1 letters nobody knows" in out
    assert "1 dead letters" in headrace("redrive", "--again")[1]
    assert len(read_rest(working.source)) == 3


@pytest.mark.usefixtures("three")
def test_two_redrives_do_not_meet(headrace: Headrace, settings: Settings) -> None:
    """Without it, what one of them is sending looks interrupted to the other."""
    with (settings.data_dir / "models" / "default" / "dead_letters.redrive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, err = headrace("redrive")
    assert status == 1
    assert err == "error: dead letters of default are being sent again already: wait for that to end\n"
    assert headrace("redrive")[0] == 0


@pytest.mark.usefixtures("three")
def test_a_pause_is_ended_once(headrace: Headrace, settings: Settings) -> None:
    """Without it, learning that paused never goes on, or is said to when it had not paused."""
    table: DeadLetters = open_dead_letters(settings, "default")
    table.pauses.begin("dead_letters", "too much was refused", {0: Position(9)})
    assert "too much was refused" in headrace("list")[1]
    status, out, _ = headrace("resume")
    assert status == 0
    assert out.startswith("default goes on; it was paused since ")
    assert table.pauses.current() is None
    assert json.loads(headrace("resume", "--json")[1]) == {"model": "default", "resumed": False}
    table.close()


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--model", "other"], "--model other: there is no such model; the configuration has default"),
        (["list", "--reason", "labell"], "--reason labell: no event of default was ever refused for that"),
        (["redrive", "--reason", "labell"], "reasons so far: label, malformed"),
        (["redrive", "--letter", "99"], "--letter 99: there is no such dead letter of default"),
        (["show", "99"], "there is no dead letter 99 of default"),
        (["show", "events/0/x"], "'events/0/x' names no dead letter: give its number, such as 7, or its place"),
        (["show", "events/0/3/99999999999999999999"], "names no dead letter"),
    ],
)
def test_wrong_input_is_one_line(headrace: Headrace, arguments: list[str], message: str) -> None:
    """Without it, a slip of the pen is a traceback, or is taken for something else."""
    status, out, err = headrace(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_without_a_letter_there_is_nothing_to_do(headrace: Headrace, settings: Settings) -> None:
    """Without it, looking at a model that never refused anything makes files, or fails."""
    assert headrace("list")[0] == 0
    assert json.loads(headrace("list", "--json")[1])["letters"] == []
    assert headrace("redrive")[1] == "nothing was sent again\n"
    assert headrace("resume")[1] == "default was not paused\n"
    assert not settings.data_dir.exists()
