"""What was decided of a model's challengers beside state and log, in the journal, and done again by a restart.

An operator's promotion gets a version of its own. A challenger that was put out was so while a microbatch was learned,
perhaps by the clock or for want of memory, so the decision stands behind the update, at its version: whoever learns the
update again puts the challenger out behind it, whether it fails again or not.
"""

from typing import TypeGuard

from models.contesting import Contesting
from models.learner import Learner
from service.durability.journal_format import Decision, Entry

PROMOTE = "promote"
"""Kind of the command and of the decision that make a challenger the champion; its data name it (``challenger``)."""

PUT_OUT = "put_out"
"""Kind of the decision that a challenger learns no more: which (``challenger``), and why (``reason``)."""


def is_of_contest(entry: Entry) -> TypeGuard[Decision]:
    """Return whether `entry` is a decision about challengers."""
    return isinstance(entry, Decision) and entry.kind in (PROMOTE, PUT_OUT)


def is_put_out(entry: Entry) -> TypeGuard[Decision]:
    """Return whether `entry` says that a challenger learns no more: its version is that of the update before it."""
    return isinstance(entry, Decision) and entry.kind == PUT_OUT


def take_again(learner: Learner, decision: Decision) -> None:
    """Do once more what was decided; done already, it changes nothing."""
    if not isinstance(learner, Contesting):
        return
    if decision.kind == PROMOTE:
        learner.promote(decision.data["challenger"])
    else:
        learner.put_out(decision.data["challenger"], decision.data["reason"])


def forget_news(learner: Learner | None) -> None:
    """Have a learner tell nothing of what was learned again: all of it was told when it was learned first."""
    if isinstance(learner, Contesting):
        learner.take_news(live=False)
