"""Reading waits for a schema registry that does not answer, and says so; nothing is dropped, nothing doubled."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from consumers.dead_letters import DeadLetters
from consumers.source import NewRecord
from consumers.testing import MemorySource
from service.errors import RegistryUnavailable
from service.settings.event_options import EventOptions
from tests.support.reading import Outlet, dead_letters, read
from tests.support.schema_registry import KnownSchemas, framed, record_of

SCHEMA = record_of(y="string", x="double")
MESSAGES = [
    NewRecord(framed(number, SCHEMA, {"y": label, "x": 1.0})) for number, label in ((1, "a"), (9, "?"), (2, "b"))
]


class Away(KnownSchemas):
    """A registry that is away for a few questions about the schema 2."""

    def __init__(self, times: int) -> None:
        super().__init__({1: SCHEMA, 2: SCHEMA})
        self.left = times

    def find(self, number: int) -> Any:
        if number == 2 and self.left:
            self.left -= 1
            raise RegistryUnavailable("the registry is away", 0.0)
        return super().find(number)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = dead_letters(tmp_path)
    yield opened
    opened.close()


def chances(most: int) -> Callable[[float], bool]:
    """Return what ends the loop at one of its chances to end."""
    left = count(1)
    return lambda _: next(left) < most


def run(table: DeadLetters, schemas: KnownSchemas, outlet: Outlet) -> Outlet:
    """Read the messages to their end."""
    flat = EventOptions(format="flat", label="y")
    return read(MemorySource({0: MESSAGES}), table, outlet, events=flat, schemas=schemas)


def test_reading_waits_for_the_registry(table: DeadLetters) -> None:
    """Fails when a registry that restarts costs an event, or nobody is told what is waited for."""
    schemas = Away(2)
    outlet = run(table, schemas, Outlet(chances(12)))
    assert schemas.left == 0
    assert outlet.labels == ["a", "b"]
    assert [(each.letter.offset, each.letter.reason) for each in table.find()] == [(1, "schema")]
    assert outlet.notices.count("the registry is away") == 2


def test_while_it_waits_it_can_be_ended(table: DeadLetters) -> None:
    """Fails when a trainer that waits for a registry cannot be stopped, or passes what it could not decode."""
    outlet = run(table, Away(10**9), Outlet(chances(12)))
    assert outlet.labels == []
    assert not table.find()
