"""The reading loop and its dead letters: letters before offsets, waiting for a disk, pausing before all is eaten."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.dead_letters import DeadLetters
from consumers.errors import AppendFailed, DiskUnreliable
from consumers.source import Position
from consumers.testing import MemorySource
from service.reading import ingest, refusals
from service.reading.pause_rule import PauseRule
from service.settings.event_options import EventOptions
from tests.support.reading import Outlet, dead_letters, read

BAD = b"{broken"


def good(label: str) -> bytes:
    return json.dumps({"features": {"x": 1.0}, "label": label}).encode()


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = dead_letters(tmp_path)
    yield opened
    opened.close()


class Script:
    """Says whether the loop goes on: as often as a test allows, doing what it wants at each call that waits."""

    def __init__(self, *steps: object) -> None:
        self.waits = 0
        self._steps = list(steps)
        self._idle = 0

    def __call__(self, seconds: float) -> bool:
        if seconds:
            self.waits += 1
            if not self._steps:
                return False
            step = self._steps.pop(0)
            if callable(step):
                step()
        self._idle += 1
        return self._idle < 50


def test_a_full_disk_makes_learning_wait_not_forget(table: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the offset of a refused event is passed without its letter, or the trainer dies of a full disk."""
    add, outlet = table.add, Outlet(Script(None, None))
    failures = [AppendFailed("the disk is full"), AppendFailed("the disk is full")]
    handed_over: list[int] = []

    def sometimes(letters: list[Any]) -> int:
        handed_over.append(len(outlet.chunks))
        if failures:
            raise failures.pop()
        return add(letters)

    monkeypatch.setattr(table, "add", sometimes)
    read(MemorySource({0: [good("a"), BAD, good("b")]}), table, outlet)
    assert handed_over == [0, 0, 0], "nothing passes before the letter is kept"
    assert outlet.notices == ["learning waits: the disk is full"]
    assert outlet.labels == ["a", "b"]
    assert table.counts() == {"malformed": 1}


def test_what_cannot_be_kept_is_not_passed(table: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, stopping while the disk is full loses the letter."""

    def full(_: object) -> int:
        raise AppendFailed("the disk is full")

    monkeypatch.setattr(table, "add", full)
    outlet = read(MemorySource({0: [good("a"), BAD, good("b")]}), table, Outlet(Script(None)))
    assert outlet.chunks == []


def test_a_disk_that_loses_letters_ends_the_trainer(table: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a failing fsync is tried again until it looks as if it had worked."""

    def lost(_: object) -> int:
        raise DiskUnreliable("fsync failed")

    monkeypatch.setattr(table, "add", lost)
    with pytest.raises(DiskUnreliable):
        read(MemorySource({0: [BAD]}), table, Outlet())


def test_too_much_refused_pauses_until_an_operator_says_so(table: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, one wrong setting turns a whole topic into dead letters, or learning never goes on again."""
    monkeypatch.setattr(ingest, "_POLL_RECORDS", 5)
    source = MemorySource({0: [good("a")] * 10 + [BAD] * 25 + [good("b")] * 10})
    reached: list[object] = []

    def resume() -> None:
        reached.append(outlet.positions[0])
        table.pauses.end()

    outlet = Outlet(Script(None, None, resume, None, resume, None, resume))
    read(source, table, outlet, pause_share=0.5, pause_window=10)
    assert reached == [Position(15), Position(25), Position(35)], "a fresh window after each resume"
    assert outlet.labels == ["a"] * 10 + ["b"] * 10
    assert table.counts() == {"malformed": 25}
    assert outlet.ends == {0: 45}
    assert len(outlet.notices) == 3
    for said in (
        "learning of default is paused: 5 of the last 10 events could not be used (malformed 5)",
        "headrace dead-letters list --model default",
        "headrace dead-letters redrive --model default",
        "headrace dead-letters resume --model default",
    ):
        assert said in outlet.notices[0]


def test_a_restart_stays_paused_but_reads_what_recovery_needs(
    table: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, restarting eats on, or a paused model cannot be recovered from its journal."""
    monkeypatch.setattr(ingest, "_POLL_RECORDS", 5)
    source = MemorySource({0: [good("a")] * 10 + [BAD] * 30, 1: [good("c")] * 2})
    first = read(source, table, Outlet(Script(None)), pause_window=10)
    assert first.positions == {0: Position(15)} | first.positions
    again = read(source, table, Outlet(Script(None)), pause_window=10)
    assert again.positions == first.positions
    assert again.labels == first.labels
    beyond = read(source, table, Outlet(Script(None)), start=first.positions, pause_window=10)
    assert beyond.chunks == []
    assert "resume" in beyond.notices[0]
    assert table.counts() == {"malformed": 5}


def test_a_restart_after_an_operator_decided_does_not_pause_for_the_same(table: DeadLetters) -> None:
    """If this fails, whoever resumes while nothing runs finds learning paused again for what is decided already."""
    source = MemorySource({0: [BAD] * 20 + [good("a")] * 3})
    paused = read(source, table, Outlet(Script(None)), pause_window=20)
    assert paused.positions == {0: Position(23)}
    table.pauses.end()
    resumed = read(source, table, Outlet(), pause_window=20)
    assert resumed.positions == {0: Position(23)}
    assert table.pauses.current() is None
    source.append(0, *[BAD] * 20)
    read(source, table, Outlet(Script(None)), pause_window=20)
    assert table.pauses.current() is not None


def test_what_was_refused_is_not_learned_by_reading_it_again(table: DeadLetters) -> None:
    """If this fails, a restart with a corrected setting learns events that a redrive then teaches a second time."""
    flat = b'{"x": 1.0, "y": "a"}'
    array = b'[{"x": 2.0, "y": "b"}, {"features": {"x": 1.0}, "label": "c"}]'
    source = MemorySource({0: [good("first"), flat, array, good("last")]})
    assert read(source, table, Outlet()).labels == ["first", "c", "last"]
    assert len(table.find()) == 2
    corrected = EventOptions(format="flat", label="y")
    again = read(source, table, Outlet(), events=corrected)
    assert again.labels == [], "neither the letters nor, in the other format, what has no label there"
    source.append(0, flat, b'{"x": 2.0, "y": "b"}')
    redriven = read(source, table, Outlet(), start={0: Position(1)}, events=corrected)
    assert redriven.labels == ["a", "b"]
    assert redriven.positions == {0: Position(6)}


def test_a_letter_of_a_whole_message_keeps_all_of_it(table: DeadLetters) -> None:
    """If this fails, a message that could not be taken apart is learned when it can be, and again when redriven."""
    source = MemorySource({0: [b'[{"features": {"x": 1.0}, "label": "a"}, '], 1: []})
    read(source, table, Outlet())
    assert table.find()[0].letter.whole
    repaired = MemorySource({0: [b"[" + good("a") + b", " + good("b") + b"]", good("c")]})
    assert read(repaired, table, Outlet()).labels == ["c"]


def test_no_share_no_pause(table: DeadLetters) -> None:
    """If this fails, nobody can do without the rule."""
    outlet = read(MemorySource({0: [BAD] * 50}), table, Outlet(), pause_share=None, pause_window=10)
    assert outlet.positions == {0: Position(50)}
    outlet = read(MemorySource({0: [BAD] * 50}), table, Outlet(), pause_share=1.5, pause_window=10)
    assert outlet.positions == {0: Position(50)}


def test_the_rule_counts_events_within_its_window() -> None:
    """If this fails, learning pauses for a few bad events, or for those of yesterday, or not at all."""
    rule = PauseRule(0.5, 100)
    assert rule.count(99, ["label"] * 99) is None, "too few to tell"
    assert rule.count(1, []) == "99 of the last 100 events could not be used (label 99)"
    rule.begin_anew()
    assert rule.count(100, ["label"] * 49) is None
    assert rule.count(1, ["label"]) is None, "one good event and one bad one left the window in parts"
    for _ in range(20):
        assert rule.count(10, ["label"] * 4) is None
    assert rule.count(60, ["feature"] * 40 + ["label"] * 2) is not None
    assert PauseRule(None, 1).count(5, ["label"] * 5) is None


def test_a_pause_that_somebody_else_began_holds(table: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a model whose stand-in has paused goes on through its other reader."""
    monkeypatch.setattr(refusals, "_LOOK_SECONDS", 0.0)
    source = MemorySource({0: [good("a")] * 5})
    table.pauses.begin("dead_letters", "paused elsewhere", {0: Position(3)})
    monkeypatch.setattr(ingest, "_POLL_RECORDS", 1)
    outlet = read(source, table, Outlet(Script(None)))
    assert outlet.positions == {0: Position(3)}
    assert outlet.notices == ["paused elsewhere"]
