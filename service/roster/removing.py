"""What becomes of a model that was removed: what it learned goes aside, and its name is free again.

The removal was written down when it was asked for (``changing.py``); this is the rest of it, for whoever owns the model
next: its own trainer when it has ended, a standby, the server that was asked. Each step may be the last one before a
crash, and is done again then (ADR 12 and 39).
"""

import shutil
from contextlib import closing

import structlog

from service.config import Settings
from service.durability.claiming import claimed
from service.operating.command_table import CommandTable
from service.restart.starting_over import set_aside
from service.roster.entries import Entries, Entry
from service.wiring import commands_path, model_paths

_log = structlog.get_logger("headrace.models")


def finish_removal(settings: Settings, entries: Entries, name: str) -> bool:
    """Clear a removed model away, where it is not yet; for its owner only. Return whether there was anything to do.

    Raises
    ------
    StorageFailed, DurabilityLost, JournalInvalid, ConsumerError
    """
    entry = entries.get(name)
    if entry is None or entry.removal is None:
        return False
    paths = model_paths(settings, name)
    set_aside(paths, entry.removal.aside)
    kept = paths.aside / entry.removal.aside
    if not entry.removal.keep:
        shutil.rmtree(kept, ignore_errors=True)
    shutil.rmtree(paths.publication, ignore_errors=True)
    # What was ordered of it is not for another model of its name.
    with closing(CommandTable(commands_path(settings))) as commands:
        commands.forget(name)
    with entries.changing():
        if _is_same(entries.get(name), entry):
            entries.remove(name)
    _log.info("removed", model=name, kept=str(kept) if entry.removal.keep else None)
    return True


def finish_removal_unowned(settings: Settings, entries: Entries, name: str) -> None:
    """Clear a removed model away as soon as its trainer has ended.

    Raises
    ------
    ModelOwned
        The trainer does not end; whoever owns the model next does it.
    StorageFailed, DurabilityLost, JournalInvalid, ConsumerError
    """
    with claimed(settings, name):
        finish_removal(settings, entries, name)


def _is_same(found: Entry | None, entry: Entry) -> bool:
    return found is not None and found.revision == entry.revision
