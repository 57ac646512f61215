"""Learning a model again from the log: ``headrace train --from``. What was learned before is kept aside, whole.

It takes several steps, and any of them may be the last one before a crash. So what is meant is written down first, in
one file, and whoever owns the model next does the rest: before that file everything is the old model's, after it the
new one's.
"""

import contextlib
import re
import shutil
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from consumers.dead_letters import DeadLetters
from consumers.source import Position, Positions, Source
from service.checkpoints import Checkpoint, CheckpointStore
from service.config import Settings
from service.decoding.times import event_times
from service.durability.claiming import claimed
from service.durability.files import Files
from service.durability.journal_format import Decision
from service.durability.journal_reading import JournalTail, read_journal
from service.durability.model_identity import new_identity, set_identity
from service.errors import CheckpointInvalid, ConfigurationInvalid
from service.journal import Journal
from service.publishing.publication_layout import files_newest_first, supersede
from service.restart.noted import BEGIN, Noted
from service.wiring import ModelPaths, make_source, model_paths

_log = structlog.get_logger("headrace.starting_over")

_OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*")
_EPOCH = 0
"""Of the journal that a new model begins with: below that of any owner."""


class _Intent(msgspec.Struct, frozen=True):
    """What is meant.

    Attributes
    ----------
    positions
        Partition → offset to begin at; those that are absent are read from their earliest record.
    version
        The highest that may ever have been given: the new model counts on from there.
    identity
        The new model's.
    same_log
        Whether it is the log that was learned from before, so that places in it mean what they meant.
    aside
        Name of the folder that the old one goes to.
    """

    positions: Mapping[str, int]
    version: int
    identity: str
    same_log: bool
    aside: str


def start_over(settings: Settings, name: str, origin: str, source: Source | None = None) -> Path:
    """Have the model `name` begin anew at `origin`; return the folder that what it was is kept in.

    Parameters
    ----------
    settings, name
        Which model.
    origin
        ``earliest``; offsets, such as ``0:1200,1:900``; or a time, in ISO 8601 or seconds since the epoch.
    source
        What it learns from; by default what is configured.

    Raises
    ------
    ConfigurationInvalid
        `origin` says nothing of the kind.
    ModelOwned
        A trainer owns the model.
    ConsumerError
        The log does not hold that place, or cannot be read.
    StorageFailed, DurabilityLost, JournalInvalid
        Nothing has changed, or the next one who owns the model does the rest.
    """
    source = source or make_source(settings, name)
    positions = positions_at(origin, source)
    # Whether the log holds them is found out before anything is given up.
    with closing(source.open(positions)) as reader:
        log = reader.identity
    paths = model_paths(settings, name)
    with claimed(settings, name) as lease:
        finish_starting_over(paths)
        version, former_log = _past(paths)
        aside = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-version-{version}"
        offsets = {str(partition): position.offset for partition, position in positions.items()}
        intent = _Intent(offsets, version, new_identity(), former_log in ("", log), aside)
        lease.check()
        Files().write(_intent_path(paths), [msgspec.json.encode(intent)])
        finish_starting_over(paths)
    _log.info("the model begins anew", model=name, origin=origin, kept=str(paths.aside / aside))
    return paths.aside / aside


def set_aside(paths: ModelPaths, aside: str) -> None:
    """Have a model that is no more leave nothing in its place but the numbers it has given; for its owner only.

    May be done again after a crash. Whoever has the name next begins with the earliest event, and counts on.

    Parameters
    ----------
    paths
        Where the model is.
    aside
        Name of the folder that what it was goes to.

    Raises
    ------
    StorageFailed, DurabilityLost, JournalInvalid, ConsumerError
    """
    finish_starting_over(paths)
    version, _ = _past(paths)
    # Whoever comes next may learn from another log: places in this one mean nothing then.
    intent = _Intent({}, version, new_identity(), same_log=False, aside=aside)
    Files().write(_intent_path(paths), [msgspec.json.encode(intent)])
    finish_starting_over(paths)


def positions_at(origin: str, source: Source) -> Positions:
    """Return the positions that `origin` means; see :func:`start_over`."""
    if origin == "earliest":
        return {}
    if _OFFSETS.fullmatch(origin):
        pairs = (pair.split(":") for pair in origin.split(","))
        return {int(partition): Position(int(offset)) for partition, offset in pairs}
    try:
        value: float | str = float(origin)
    except ValueError:
        value = origin
    seconds, bad = event_times([value])
    if bad or not seconds[0] >= 0:
        raise ConfigurationInvalid(
            f"--from {origin}: that is no place to learn from; say earliest, checkpoint, offsets such as 0:1200,1:900, "
            "or a time such as 2026-11-21T06:00:00Z or seconds since the epoch"
        )
    return source.positions_at(int(seconds[0] * 1000))


def finish_starting_over(paths: ModelPaths) -> None:
    """Do what was meant and is not done yet, if anything; for the owner of the model, before it reads anything of it.

    Raises
    ------
    StorageFailed, DurabilityLost, ConsumerError
    """
    path = _intent_path(paths)
    try:
        intent = msgspec.json.decode(path.read_bytes(), type=_Intent)
    except FileNotFoundError:
        return
    files = Files()
    aside = paths.aside / intent.aside
    files.make_folder(aside)
    for each in (paths.checkpoints, paths.journal):
        # What is there already was moved before a crash, and what has its name by now is the new model's.
        if each.exists() and not (aside / each.name).exists():
            files.rename(each, aside / each.name)
    files.sync_folder(aside)
    files.sync_folder(paths.root)
    _forget_letters(paths.dead_letters, aside, intent, files)
    _begin_journal(paths, intent, files)
    set_identity(paths.root, intent.identity)
    _unpublish(paths)
    files.remove(path)
    files.sync_folder(paths.root)


def _past(paths: ModelPaths) -> tuple[int, str]:
    """Return the highest version that may ever have been given, and the identity of the log that was learned from."""
    checkpoint: Checkpoint | None = None
    store = CheckpointStore(paths.checkpoints)
    with contextlib.suppress(CheckpointInvalid):
        checkpoint = store.load()
    newest = max((info.version for info in store.list()), default=-1)
    tail = read_journal(paths.journal, newest)
    return max(tail.resume_version, tail.last_version), Noted.of(checkpoint, tail.entries, None).log


def _forget_letters(path: Path, aside: Path, intent: _Intent, files: Files) -> None:
    """Keep a copy of the dead letters aside, and judge all events again but those that were sent again."""
    if not path.exists():
        return
    kept = aside / path.name
    with closing(DeadLetters(path)) as letters:
        if not kept.exists():
            copy = kept.with_suffix(".new")
            copy.unlink(missing_ok=True)
            letters.copy_to(copy)
            files.rename(copy, kept)
            files.sync_folder(aside)
        letters.begin_anew(keep_redriven=intent.same_log)


def _begin_journal(paths: ModelPaths, intent: _Intent, files: Files) -> None:
    """Make the journal that the new model begins with: it knows where to begin, and which numbers are gone."""
    if paths.journal.exists():
        return
    begun = paths.journal.with_name("journal.new")
    shutil.rmtree(begun, ignore_errors=True)
    nothing = JournalTail([], intent.version, intent.version, False, [], [], -1)
    journal = Journal(begun, _EPOCH, intent.version, nothing)
    journal.append(Decision(BEGIN, intent.version, {"positions": intent.positions}))
    journal.close()
    files.rename(begun, paths.journal)
    files.sync_folder(paths.root)


def _unpublish(paths: ModelPaths) -> None:
    """Take back what the old model published: servers have nothing until the new one publishes."""
    for path in files_newest_first(paths.publication):
        with contextlib.suppress(OSError):
            supersede(path)
            path.unlink()
    paths.status.unlink(missing_ok=True)


def _intent_path(paths: ModelPaths) -> Path:
    return paths.root / "starting-over.json"
