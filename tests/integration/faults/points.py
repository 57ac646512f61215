"""The places at which a campaign kills: every step of writing, and what lies between them.

A point is a piece of work and *before*, *middle* or *after*; beside it stands how often it is met, at most, before the
kill. What is met once in a process's life has 1; what every update meets has many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from signal import Signals
from typing import Literal

Role = Literal["trainer", "reader"]


@dataclass(frozen=True)
class Plan:
    """When a process ends itself: at the `hit`-th time that it meets `point`, by `signal`."""

    point: str
    hit: int
    signal: Signals = Signals.SIGKILL
    role: Role = "trainer"


def _around(hits: int, *works: str) -> Iterator[tuple[str, int]]:
    for work in works:
        yield f"{work} before", hits
        yield f"{work} after", hits


def _file(name: str, hits: int) -> Iterator[tuple[str, int]]:
    """The steps of :meth:`service.durability.files.Files.write`."""
    yield from _around(hits, f"{name} create", f"{name} append", f"{name} sync", f"{name} rename")
    yield f"{name} append middle", hits


CHECKPOINT = dict(
    [
        *_file("segment", 5),
        *_file("manifest", 2),
        *_around(5, "folder of segments sync_folder"),
        *_around(2, "folder of checkpoints sync_folder", "checkpoint save", "checkpoint saved"),
        *_around(2, "checkpoint submit", "checkpoint prune", "manifest remove", "segment remove"),
        *_around(1, "folder of segments make_folder"),
    ]
)
JOURNAL = dict(
    [
        *_around(12, "journal append"),
        *_around(2, "journal rotate", "journal prune", "journal remove"),
        *_around(2, "journal header append"),
        *_around(2, "journal sync", "folder of the journal sync_folder"),
        *_around(1, "journal reserve"),
        *_file("reservation", 1),
        *_around(1, "reservation remove"),
    ]
)
TORN = {"journal append middle": 12, "journal header append middle": 2}
"""Half an entry in the journal. A kill leaves that only where a ``write`` crosses a page; numbering then skips ahead as
after a loss of power, and so these are for the variety that does not count on the numbers."""

PUBLICATION = dict(
    [
        *_around(12, "publish", "slot write", "slot copy"),
        *_around(2, "publication begin", "publication create", "publication supersede"),
        *_around(6, "status write"),
    ]
)
BETWEEN = dict([*_around(12, "learn", "lease check", "update"), *_around(2, "commit")])
RECOVERY = dict(
    [
        *_around(1, "recovery", "recovery load", "recovery read journal", "journal begin", "trainer begin"),
        *_around(12, "recovery take"),
        *_around(1, "model open"),
    ]
)
TAKE_OVER = dict(
    [
        *_around(1, "lease claim", "lease sync", "folder of the lease sync_folder"),
        *RECOVERY.items(),
        *_around(1, "publish", "publication begin", "publication supersede"),
    ]
)
ENDING = dict(
    [
        *_around(1, "journal close", "lease release", "trainer finish", "checkpoint finish"),
        *_around(1, "checkpoint submit", "manifest rename"),
    ]
)
READER = dict(
    [*_around(8, "read step", "decode", "hand over"), *_around(2, "dead letters add"), *_around(1, "read open")]
)

COMMANDS = {
    "command obey before": 2,
    "rollback before": 1,
    "rollback append before": 1,
    "rollback append after": 1,
    "rollback after": 1,
    "command finish before": 2,
    "command finish after": 2,
}
"""Where a trainer is killed that is told first to go on and then to go back: `command_kills.py`."""

ALONE: Mapping[str, int] = {**CHECKPOINT, **JOURNAL, **PUBLICATION, **BETWEEN, **RECOVERY}
"""Where a trainer that has the model to itself is killed."""

EVERY = frozenset({*ALONE, *COMMANDS, *TORN, *TAKE_OVER, *ENDING, *READER})
