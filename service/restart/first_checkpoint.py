"""The first checkpoint of a model that begins with what is known before its first event (``beginning.py``).

It stands at the place where the stream begins, under a version of its own, and of no event of the log.
"""

import time
from dataclasses import dataclass

import structlog

from models.examples import Label
from models.learner import Json, Learner
from service.checkpoints import Checkpoint
from service.durability.journal_format import Decision, Update
from service.durability.journal_reading import JournalTail, read_journal
from service.journal import Journal
from service.learning.count import Count
from service.learning.model import Model
from service.learning.totals import Totals
from service.restart.history import BEGUN
from service.restart.noted import Noted

_log = structlog.get_logger("headrace.first_checkpoint")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before the first event.

    Attributes
    ----------
    learner
        Has learned it; its scores are those of nothing yet.
    classes
        Canonical, in the order in which they were met.
    origin
        Where it is from, for people.
    """

    learner: Learner
    classes: tuple[Label, ...]
    origin: Json


def journal_of_new(model: Model) -> JournalTail | None:
    """Return the journal of a model that has learned nothing and has not begun; None where it has.

    Raises
    ------
    CheckpointInvalid
        It has, but none of its checkpoints can be used.
    """
    if model.store.list() or model.store.load() is not None:
        return None
    tail = read_journal(model.paths.journal, -1)
    return None if any(isinstance(entry, Update) for entry in tail.entries) else tail


def keep(model: Model, known: Known, tail: JournalTail) -> None:
    """Make the first checkpoint of `model`; when this returns it is durable.

    Parameters
    ----------
    model
        Has learned nothing.
    known
        What it begins with.
    tail
        Its journal, read after it was claimed.

    Raises
    ------
    OwnershipLost, StorageFailed, DurabilityLost
    """
    version = tail.resume_version + 1
    begun = Noted.of(None, tail.entries, model.configured_task)
    noted = Noted(task=known.learner.task, recipe=model.recipe(), classes=known.classes)
    # Should this checkpoint ever be lost, the journal must not be taken to lead over it.
    journal = Journal(model.paths.journal, model.lease.epoch, tail.resume_version, tail)
    journal.append(Decision(BEGUN, version, known.origin))
    journal.close()
    model.lease.check()
    model.store.save(
        Checkpoint(
            version=version,
            epoch=model.lease.epoch,
            positions=dict(begun.begin),
            learner=known.learner.state(),
            service={
                "model": model.name,
                **noted.to_json(),
                "learner": known.learner.name,
                "options": model.learner_options(),
                "lane": Count().to_json(),
                "totals": Totals().to_json(),
                BEGUN: known.origin,
            },
            created=time.time(),
            others=model.make_screen().states(),
        )
    )
    _log.info("the first checkpoint is kept", model=model.name, version=version, began_with=known.origin)
