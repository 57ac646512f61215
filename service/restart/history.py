"""Which of the journal's entries lead from a checkpoint to the parameters that there were in the end.

Not all of them do: an online learner may have stood in meanwhile, whose updates are not the learner's, and a restart
that could not learn everything again went on from an earlier version, under a new number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from service.durability.journal_format import NOBODY, Decision, Entry, Update
from service.learning.lane import TIMEOUT
from service.restart.contest_steps import is_of_contest
from service.restart.rollback import DECISION as ROLLBACK

RENUMBER = "renumber"
"""Kind of the decision with which a trainer goes on from an earlier version, ``restored_from``, under a new number."""
WENT_BACK = "went_back"
"""Kind of the decision with which an operator went back to a checkpoint, its positions included."""
BEGUN = "begun"
"""Kind of the decision with which a model begins with what is known before its first event: its first checkpoint."""


@dataclass(frozen=True, slots=True)
class History:
    """What to do to a checkpoint's learner.

    Attributes
    ----------
    steps
        In order: updates to learn again, and decisions ``rollback`` (the learner of checkpoint ``restored_from`` comes
        back), ``renumber`` (the parameters stay, and get a new number), and those of ``contest_steps``.
    others
        The journal's entries after the last step: what was served, but cannot be reached from here.
    gap
        Why there are others; empty where there are none.
    """

    steps: Sequence[Entry]
    others: Sequence[Entry] = ()
    gap: str = ""


def is_rollback(entry: Entry) -> TypeGuard[Decision]:
    """Return whether `entry` is a decision to bring an earlier learner back."""
    return isinstance(entry, Decision) and entry.kind == ROLLBACK


def is_renumbering(entry: Entry) -> TypeGuard[Decision]:
    """Return whether `entry` is a decision to go on from an earlier version."""
    return isinstance(entry, Decision) and entry.kind == RENUMBER


def is_timeout(entry: Entry) -> TypeGuard[Decision]:
    """Return whether `entry` is a decision that it is late, though no event has come."""
    return isinstance(entry, Decision) and entry.kind == TIMEOUT


def history(version: int, entries: Sequence[Entry], learner: str) -> History:
    """Return what leads from the checkpoint of `version` on.

    Parameters
    ----------
    version
        The checkpoint's; -1 for a new learner.
    entries
        The journal's, after that checkpoint.
    learner
        ``microbatch`` or ``online``: whose updates count.
    """
    steps: list[Entry] = []
    for place, entry in enumerate(entries):
        gap = ""
        if isinstance(entry, Update):
            if entry.learner not in (learner, NOBODY):
                gap = f"version {entry.version} was learned by the {entry.learner} learner"
        elif entry.kind == "fallback":
            gap = f"at version {entry.version} the online learner stood in, and what this one missed is in no journal"
        elif entry.kind == WENT_BACK:
            gap = f"version {entry.version} is version {entry.data['restored_from']} again, its positions included"
        elif entry.kind == BEGUN:
            gap = f"what version {entry.version} began with is in its checkpoint only"
        elif is_renumbering(entry) and entry.data["restored_from"] < version:
            gap = f"version {entry.version} goes on from version {entry.data['restored_from']}, which is older"
        if gap:
            return History(steps, entries[place:], gap)
        if is_renumbering(entry):
            # What came after that version could not be learned again, and what came of it is lost.
            steps = [step for step in steps if step.version <= entry.data["restored_from"]]
        if isinstance(entry, Update) or any(is_one(entry) for is_one in _STEPS):
            steps.append(entry)
    return History(steps)


_STEPS = (is_rollback, is_renumbering, is_of_contest, is_timeout)
