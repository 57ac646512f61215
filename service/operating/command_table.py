"""Commands to trainers: a durable table between those who ask (API, command line) and the trainer that obeys.

On the path it stands beside the learning loop. A command is a row: durable when :meth:`CommandTable.order` returns,
looked at by the model's trainer between two microbatches, and finished with an outcome. What it did to the model is in
the journal under the command's number *before* the outcome is here, so a trainer that dies in between does not do it
again (``operated.py``).
"""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.learner import Json
from service.errors import RequestInvalid
from service.operating.command_file import CommandFile

MOST_PENDING = 100
"""Commands of one model that may wait: more of them than an operator gives while a trainer is away."""

_KEPT_SECONDS = 30 * 86_400.0
"""How long what was done can be asked for."""

_PATIENCE = 10.0
"""Seconds that a writer waits for others: each holds the file for as long as one row takes to reach the disk."""

_COLUMNS = "number, model, kind, data, caller, ordered_at, outcome, finished_at"


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody asked of a model.

    Attributes
    ----------
    number, table
        Its number, and the identity of the table that gave it: a table that was made anew counts from 1 again.
    model, kind, data
        What is to be done to whom; what `data` holds is the kind's own matter.
    caller
        Who asked: the name of an API key, or what says where the command came from.
    ordered_at
        Unix seconds.
    outcome
        What came of it; None while it waits. Its ``status`` is that of an HTTP answer: 200 where it was done, and
        otherwise ``detail`` says why it was not.
    finished_at
        Unix seconds; None while it waits.
    """

    number: int
    table: str
    model: str
    kind: str
    data: Json
    caller: str
    ordered_at: float
    outcome: Json | None = None
    finished_at: float | None = None


class CommandTable:
    """The commands of all models of one data directory. May be shared by threads and by processes.

    The file is made at the first order; until then there are no commands.

    Parameters
    ----------
    path
        The database.
    now
        Clock in Unix seconds.
    patience
        Seconds to wait for other processes that write.

    Raises
    ------
    StorageFailed
        From every method: the database cannot be read or written now.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time, patience: float = _PATIENCE) -> None:
        self._file = CommandFile(path, patience)
        self._now = now

    def order(self, model: str, kind: str, data: Json, caller: str, *, key: str | None = None) -> int:
        """Write a command down and return its number; when this returns it survives the machine.

        Parameters
        ----------
        model, kind, data, caller
            See :class:`Command`.
        key
            Of the caller's choice: a second order under it is the first one again.

        Raises
        ------
        RequestInvalid
            409 where the key was used for another command, 503 where too many commands of this model wait.
        """
        text = json.dumps(data, sort_keys=True)
        with self._file.changing() as database:
            now = self._now()
            database.execute("DELETE FROM commands WHERE finished_at < ?", (now - _KEPT_SECONDS,))
            known = "SELECT number, kind, data FROM commands WHERE model = ? AND key = ?"
            given = database.execute(known, (model, key)).fetchone()
            if given is not None:
                return _same(given, kind, text)
            _check_room(database, model)
            insert = "INSERT INTO commands (model, kind, data, caller, key, ordered_at) VALUES (?, ?, ?, ?, ?, ?)"
            number = database.execute(insert, (model, kind, text, caller, key, now)).lastrowid
        assert number is not None, "what was inserted has a number"  # noqa: S101
        return number

    def pending(self, model: str) -> Sequence[Command]:
        """Return the commands of `model` that wait, oldest first."""
        return self._select("model = ? AND outcome IS NULL ORDER BY number", model)

    def recent(self, model: str, count: int) -> Sequence[Command]:
        """Return the last `count` commands of `model`, newest first."""
        return self._select("model = ? ORDER BY number DESC LIMIT ?", model, count)

    def find(self, model: str, number: int) -> Command | None:
        """Return a command of `model` by its number; None where there is none (any more)."""
        return next(iter(self._select("model = ? AND number = ?", model, number)), None)

    def outcome(self, number: int) -> Json | None:
        """Return what came of a command; None while it waits, or where there is none (any more)."""
        found = self._select("number = ?", number)
        return found[0].outcome if found else None

    def finish(self, number: int, outcome: Json, *, epoch: int = 0) -> None:
        """Say what came of a command; said again, it stays.

        Parameters
        ----------
        number, outcome
            See :class:`Command`.
        epoch
            Of the trainer that says so: what a later owner says holds.
        """
        finish = "UPDATE commands SET outcome = ?, epoch = ?, finished_at = ? WHERE number = ?"
        unless_later = "AND (outcome IS NULL OR epoch < ?)"
        with self._file.existing() as database:
            if database is not None:
                row = (json.dumps(outcome), epoch, self._now(), number, epoch)
                database.execute(f"{finish} {unless_later}", row)

    def forget(self, model: str) -> None:
        """Remove all commands of a model that is no more."""
        with self._file.existing() as database:
            if database is not None:
                database.execute("DELETE FROM commands WHERE model = ?", (model,))

    def close(self) -> None:
        """Let the file go; the next call opens it again."""
        self._file.close()

    def _select(self, where: str, *values: object) -> list[Command]:
        with self._file.existing() as database:
            if database is None:
                return []
            # What is put together here are constants of this file.
            rows = database.execute(f"SELECT {_COLUMNS} FROM commands WHERE {where}", values).fetchall()  # noqa: S608
            return [_command(self._file.identity, row) for row in rows]


def _command(table: str, row: tuple[Any, ...]) -> Command:
    """Return the command in a row of :data:`_COLUMNS`."""
    number, model, kind, data, caller, ordered_at, came, finished_at = row
    outcome = None if came is None else json.loads(came)
    return Command(number, table, model, kind, json.loads(data), caller, ordered_at, outcome, finished_at)


def _same(given: tuple[int, str, str], kind: str, data: str) -> int:
    """Return the number of the command that a key was used for."""
    if given[1:] != (kind, data):
        raise RequestInvalid("this key was used for another command; take a new one", 409, "Idempotency-Key")
    return given[0]


def _check_room(database: sqlite3.Connection, model: str) -> None:
    waiting = "SELECT count(*) FROM commands WHERE model = ? AND outcome IS NULL"
    if database.execute(waiting, (model,)).fetchone()[0] >= MOST_PENDING:
        raise RequestInvalid(
            f"{MOST_PENDING} commands of {model} wait already: its trainer is down, or does not get to them; see its "
            "state",
            503,
            retry_after=10.0,
        )
