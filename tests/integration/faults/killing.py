"""How a process comes to end itself at a point: the product's own functions, with a look at the plan before and after.

Nothing in the product knows of this. Where a function that is named here is no more, installing fails, and the campaign
with it.
"""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consumers.dead_letters import DeadLetters
from service.checkpoints import CheckpointStore
from service.durability import lease
from service.durability.checkpointing import Checkpointer
from service.durability.files import Files
from service.durability.lease import Lease
from service.events import EventDecoder
from service.journal import Decision, Entry, Journal
from service.learning import housekeeping, trainer_process
from service.learning.housekeeping import Housekeeping
from service.learning.lane import Lane
from service.learning.versions import Versions
from service.operating.command_table import CommandTable
from service.operating.operator import Operator
from service.publication import Publisher
from service.publishing.publication_changes import Changes
from service.publishing.publication_layout import MappedFile
from service.reading.ingest import IngestLoop
from service.reading.ingest_programs import ProcessIngest
from service.reading.ingest_thread import ThreadIngest
from service.restart import recovery
from service.restart.rebatching import Rebatcher
from service.restart.recovery import Recovery
from service.restart.rollback import DECISION as ROLLBACK
from service.trainer import Trainer
from tests.integration.faults.points import EVERY, Plan, Role

_WORKS: tuple[tuple[Any, str, str], ...] = (
    (CheckpointStore, "save", "checkpoint save"),
    (CheckpointStore, "_prune", "checkpoint prune"),
    (CheckpointStore, "load", "recovery load"),
    (Checkpointer, "submit", "checkpoint submit"),
    (Checkpointer, "finish", "checkpoint finish"),
    (Housekeeping, "_saved", "checkpoint saved"),
    (housekeeping, "write_status", "status write"),
    (Journal, "__init__", "journal begin"),
    (Journal, "append", "journal append"),
    (Journal, "rotate", "journal rotate"),
    (Journal, "prune", "journal prune"),
    (Journal, "sync", "journal sync"),
    (Journal, "close", "journal close"),
    (Journal, "_reserve", "journal reserve"),
    (Publisher, "publish", "publish"),
    (Publisher, "_begin", "publication begin"),
    (Publisher, "_supersede_others", "publication supersede"),
    (Publisher, "_write", "slot write"),
    (Changes, "copy", "slot copy"),
    (MappedFile, "create", "publication create"),
    (Lane, "learn", "learn"),
    (Lease, "check", "lease check"),
    (Lease, "release", "lease release"),
    (lease, "_claim", "lease claim"),
    (Versions, "updated", "update"),
    (ThreadIngest, "commit", "commit"),
    (ProcessIngest, "commit", "commit"),
    (Recovery, "run", "recovery"),
    (recovery, "read_journal", "recovery read journal"),
    (Rebatcher, "take", "recovery take"),
    (trainer_process, "open_model", "model open"),
    (Trainer, "_begin", "trainer begin"),
    (Trainer, "_finish", "trainer finish"),
    (IngestLoop, "_step", "read step"),
    (IngestLoop, "_open", "read open"),
    (IngestLoop, "_hand_over", "hand over"),
    (EventDecoder, "decode", "decode"),
    (DeadLetters, "add", "dead letters add"),
    (Operator, "_obey", "command obey"),
    (CommandTable, "finish", "command finish"),
    (Versions, "rolled_back", "rollback"),
)

_STEPS = ("create", "sync", "rename", "remove", "sync_folder", "make_folder")


class Switch:
    """Ends its own process, or stops it, when the plan says so.

    Parameters
    ----------
    plan
        None: never.
    told
        File that gets a line just before.
    """

    def __init__(self, plan: Plan | None, told: Path) -> None:
        assert plan is None or plan.point in EVERY, plan
        self.role: Role = "trainer"
        self._plan = plan
        self._told = told
        self._hits = 0

    def is_due(self, point: str) -> bool:
        """Return whether the next time that `point` is met is the one."""
        plan = self._plan
        return plan is not None and self._meant(point) and self._hits + 1 == plan.hit

    def _meant(self, point: str) -> bool:
        return self._plan is not None and (self._plan.point, self._plan.role) == (point, self.role)

    def at(self, point: str) -> None:
        """Take note of a point."""
        plan = self._plan
        if plan is None or not self._meant(point):
            return
        self._hits += 1
        if self._hits == plan.hit:
            with self._told.open("a") as told:
                told.write(f"{point}\n")
            os.kill(os.getpid(), plan.signal)


def install(switch: Switch) -> None:
    """Put the switch before and after everything that is named above."""
    for owner, name, work in _WORKS:
        _wrap(switch, owner, name, functools.partial(_named, work))
    for step in _STEPS:
        _wrap(switch, Files, step, functools.partial(_step, step))
    _install_append(switch)
    _install_journal_write(switch)
    _install_rollback_append(switch)


def _wrap(switch: Switch, owner: Any, name: str, work_of: Callable[[tuple[Any, ...]], str]) -> None:
    bound = isinstance(vars(owner)[name], classmethod)
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        work = work_of(arguments)
        switch.at(f"{work} before")
        result = original(*arguments, **keywords)
        switch.at(f"{work} after")
        return result

    setattr(owner, name, staticmethod(wrapped) if bound else wrapped)


def _named(work: str, _arguments: tuple[Any, ...]) -> str:
    return work


def _step(step: str, arguments: tuple[Any, ...]) -> str:
    """Name a step of :class:`Files`: what it is done to, and what it is."""
    path = next(each for each in arguments if isinstance(each, Path))
    return f"{_folder(path) if step in _FOLDER_STEPS else _kind(path)} {step}"


_FOLDER_STEPS = ("sync_folder", "make_folder")
_FOLDERS: Mapping[str, str] = {"checkpoints": "of checkpoints", "journal": "of the journal", "lease": "of the lease"}


def _kind(path: Path) -> str:
    if path.parent.name == "lease":
        return "lease"
    for mark, kind in (("safetensors", "segment"), ("manifest", "manifest"), ("reserved", "reservation")):
        if mark in path.name:
            return kind
    return "journal"


def _folder(path: Path) -> str:
    if path.parent.name == "segments":
        return "folder of segments"
    return f"folder {_FOLDERS.get(path.name, 'above')}"


def _install_append(switch: Switch) -> None:
    """A part that is written in two halves, so that a kill may fall between them."""
    original = Files.append

    def append(self: Files, descriptor: int, part: Any) -> None:
        # The name that the descriptor was opened under; the journal's files are opened by the journal itself.
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        kind = "journal header" if path.suffix == ".journal" else _kind(path)
        whole = memoryview(part).cast("B")
        switch.at(f"{kind} append before")
        # In halves only where the kill is to fall between them: a kill from outside shall find what the product does.
        if switch.is_due(f"{kind} append middle"):
            original(self, descriptor, whole[: len(whole) // 2])
            whole = whole[len(whole) // 2 :]
        switch.at(f"{kind} append middle")
        original(self, descriptor, whole)
        switch.at(f"{kind} append after")

    Files.append = append  # type: ignore[method-assign]  # in this process only, which is there to be killed


def _install_journal_write(switch: Switch) -> None:
    """Half an entry: what a kill in the middle of a ``write`` would leave, were such a thing possible."""
    original = Journal._write

    def write(self: Journal, frame: bytes) -> None:
        if switch.is_due("journal append middle"):
            os.write(self._descriptor, frame[: len(frame) // 2])
        switch.at("journal append middle")
        original(self, frame)

    Journal._write = write  # type: ignore[method-assign]  # as above


def _install_rollback_append(switch: Switch) -> None:
    """What the journal gets of a rollback: before it is published."""
    original = Journal.append

    def append(self: Journal, *entries: Entry) -> None:
        is_one = any(isinstance(entry, Decision) and entry.kind == ROLLBACK for entry in entries)
        if is_one:
            switch.at("rollback append before")
        original(self, *entries)
        if is_one:
            switch.at("rollback append after")

    Journal.append = append  # type: ignore[method-assign]  # as above
