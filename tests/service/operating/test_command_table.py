"""The command table: what is ordered is kept, found by its trainer, and finished once."""

import multiprocessing
from pathlib import Path

import pytest

from service.errors import RequestInvalid, StorageFailed
from service.operating import command_table
from service.operating.command_table import CommandTable


def test_a_command_waits_for_its_model_until_it_is_finished(tmp_path: Path) -> None:
    """A trainer would miss what was ordered, do it again and again, or do what was meant for another model."""
    path = tmp_path / "new folder" / "commands.sqlite"
    table = CommandTable(path, now=lambda: 5.0)
    assert table.pending("a") == []
    assert not path.exists(), "a server that only looks must not write"
    first = table.order("a", "rollback", {"version": 3}, "ann")
    other = table.order("b", "pause", {}, "bob")
    second = table.order("a", "pause", {}, "ann")

    trainers = CommandTable(path)
    waiting = trainers.pending("a")
    assert [each.number for each in waiting] == [first, second]
    assert (waiting[0].kind, waiting[0].data, waiting[0].caller, waiting[0].ordered_at) == (
        "rollback",
        {"version": 3},
        "ann",
        5.0,
    )
    trainers.finish(first, {"status": 200, "model_version": 9})
    assert [each.number for each in trainers.pending("a")] == [second]
    assert table.outcome(first) == {"status": 200, "model_version": 9}
    assert table.outcome(second) is None
    assert [each.number for each in table.recent("a", 5)] == [second, first]
    assert table.find("b", first) is None, "nobody is told of another model's commands"
    table.forget("a")
    assert [*table.pending("a"), *table.recent("a", 5)] == []
    assert [each.number for each in table.pending("b")] == [other]


def test_what_the_later_owner_says_of_a_command_holds(tmp_path: Path) -> None:
    """A trainer that was taken over from, and wakes up, would change what was answered."""
    table = CommandTable(tmp_path / "commands.sqlite")
    number = table.order("a", "pause", {}, "ann")
    table.finish(number, {"by": 3}, epoch=3)
    table.finish(number, {"by": 2}, epoch=2)
    table.finish(number, {"by": "3 again"}, epoch=3)
    assert table.outcome(number) == {"by": 3}
    table.finish(number, {"by": 4}, epoch=4)
    assert table.outcome(number) == {"by": 4}


def test_a_key_stands_for_one_command(tmp_path: Path) -> None:
    """A client that tries again, because it heard no answer, would roll back twice."""
    table = CommandTable(tmp_path / "commands.sqlite")
    number = table.order("a", "rollback", {"version": 3}, "ann", key="k")
    assert table.order("a", "rollback", {"version": 3}, "ann", key="k") == number
    assert table.order("b", "rollback", {"version": 3}, "ann", key="k") != number
    assert table.order("a", "rollback", {"version": 3}, "ann") != number
    with pytest.raises(RequestInvalid, match="another command"):
        table.order("a", "rollback", {"version": 4}, "ann", key="k")


def test_commands_that_wait_are_bounded_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that keeps asking while the trainer is down would fill the disk, and so would years of operation."""
    monkeypatch.setattr(command_table, "MOST_PENDING", 2)
    now = 0.0
    table = CommandTable(tmp_path / "commands.sqlite", now=lambda: now)
    numbers = [table.order("a", "pause", {}, "ann") for _ in range(2)]
    with pytest.raises(RequestInvalid, match="2 commands of a wait"):
        table.order("a", "pause", {}, "ann")
    table.order("b", "pause", {}, "ann")
    for number in numbers:
        table.finish(number, {})
    now = 31 * 86_400.0
    newest = table.order("a", "pause", {}, "ann")
    assert [each.number for each in table.recent("a", 5)] == [newest]
    assert newest > max(numbers), "a number never stands for two commands"


def test_a_table_that_was_made_anew_is_another_one(tmp_path: Path) -> None:
    """Its first commands would count as done, for their numbers were given before."""
    path = tmp_path / "commands.sqlite"
    table = CommandTable(path)
    table.order("a", "pause", {}, "ann")
    (before,) = table.pending("a")
    for file in tmp_path.iterdir():
        file.unlink()
    assert table.pending("a") == []
    table.order("a", "resume", {}, "ann")
    (after,) = table.pending("a")
    assert (after.number, after.kind) == (before.number, "resume")
    assert after.table != before.table


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    """A trainer or an API would end in a traceback of SQLite's."""
    path = tmp_path / "commands.sqlite"
    path.write_bytes(b"something else altogether " * 100)
    with pytest.raises(StorageFailed, match=r"commands\.sqlite cannot be used"):
        CommandTable(path).pending("a")


def _order_many(path: Path) -> None:
    table = CommandTable(path)
    for _ in range(10):
        table.order("a", "pause", {}, "ann")


def test_processes_order_at_once(tmp_path: Path) -> None:
    """With several API processes a command would be lost, or refused because another one was being written."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_order_many, args=(tmp_path / "commands.sqlite",)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    numbers = [each.number for each in CommandTable(tmp_path / "commands.sqlite").pending("a")]
    assert numbers == list(range(1, 31))
