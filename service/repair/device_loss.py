"""An accelerator that is lost to the trainer's process: written down, so that the next one knows what happened.

The process ends, the supervisor starts another, and that one learns the same events again. Where they are what breaks
the device, it would be lost over them for ever; so the second time the online learner takes over and passes them.
"""

from collections.abc import Sequence

from models.errors import DeviceLost
from service.durability.journal_format import Decision, Entry, Update
from service.learning.versions import Versions

_KIND = "device_lost"

_TIMES = 2

LOST_AGAIN = DeviceLost(f"the accelerator was lost {_TIMES} times over the same events")


def note_loss(versions: Versions, error: DeviceLost) -> None:
    """Write down that the device was lost over what comes after the last update."""
    versions.note(_KIND, {"reason": str(error)})


def is_lost_again(entries: Sequence[Entry]) -> bool:
    """Return whether the device was lost again and again since the last update of the journal's `entries`."""
    losses = 0
    for entry in entries:
        if isinstance(entry, Update):
            losses = 0
        elif isinstance(entry, Decision) and entry.kind == _KIND:
            losses += 1
    return losses >= _TIMES
