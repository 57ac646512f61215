"""``headrace train --history FILE``: a new model learns a file of the past before it learns from its log.

The rows are read as events of the model, in their order, and learned in microbatches as live ones are, each predicted
before it is learned; what gains from it goes through them several times (``models/history.py``). Before the first
checkpoint nothing is kept of it: a crash, or Ctrl-C, and the next start begins the file again.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from models.examples import Task
from models.history import EPOCHS, learn_history
from models.learner import Learner
from service.learning.model import Model
from service.measuring.measures import MEASURES, number
from service.measuring.stream import Reading, StreamOrder, Survey, cut, survey
from service.monitoring.reporting import report_beginning
from service.monitoring.status import write_status
from service.replaying.progress import StreamProgress
from service.replaying.replay_events import Roles
from service.restart.first_checkpoint import Known
from service.settings.event_options import RECORD_KEY, EventOptions

_log = structlog.get_logger("headrace.history")

_REPORTED_EVERY = 1.0
"""Seconds from one report of the trainer to the next."""

_SCORED_EVERY = 16
"""Microbatches from one look at the score to the next: looking waits for the device."""

MICROBATCH = 128
"""Rows that are learned at once, unless the model's own bound is less: about as late as labels are in a stream."""


@dataclass(frozen=True, slots=True)
class HistoryOrder:
    """Which history is learned.

    Attributes
    ----------
    file
        Where it is.
    roles
        Columns that are no features; without a label, the rows are events as the topic has them.
    epochs
        How often what gains from it goes through the rows; None for as often as is usual.
    """

    file: Path
    roles: Roles
    epochs: int | None = None


def learn_file(model: Model, order: HistoryOrder, known: Known | None, stopped: Callable[[], bool]) -> Known | None:
    """Return what there is to know of a file of history, or None where somebody has stopped it.

    Parameters
    ----------
    model
        Has learned nothing; no file of it is changed here.
    order
        Which rows.
    known
        What is known before; its learner learns on. None for a new learner.
    stopped
        Whether to give up; asked after each microbatch.

    Raises
    ------
    StreamFileInvalid
        The file cannot be read, or holds no row that can be learned.
    DeviceFailed, OwnershipLost
    """
    task, classes = (model.configured_task, ()) if known is None else (known.learner.task, known.classes)
    stream = StreamOrder(order.file, order.roles, task, None, events_as_in(order.roles, model.settings.events), classes)
    found = _survey(stream)
    learner = model.build_learner(found.task) if known is None else known.learner
    reading = Reading(replace(stream, task=found.task))
    epochs = EPOCHS if order.epochs is None else order.epochs
    blocks = cut((decoded.examples for decoded in reading), min(model.max_size, MICROBATCH))
    score, reported = "", 0.0
    with StreamProgress(f"learning {order.file.name}") as progress:
        for place, step in enumerate(learn_history(learner, blocks, found.rows, epochs)):
            model.lease.check()
            if stopped():
                _log.warning("the history is not learned to its end; the next start begins it again")
                return None
            reported = _reported(model, found.task, reported)
            score = _score(learner) if place % _SCORED_EVERY == 0 else score
            progress.show(step.share, step.rows, score=score)
    origin = {"history": str(order.file), "rows": found.rows, "score": _score(learner)}
    learner.forget_scores()
    before = {} if known is None else known.origin
    return Known(learner, reading.classes, {**before, **origin})


def events_as_in(roles: Roles, options: EventOptions) -> EventOptions:
    """Return how the rows of a file are to be read: as the topic's events, or as tables have them.

    Parameters
    ----------
    roles
        Which column is the label; None where rows are what the topic's messages are.
    options
        How the topic's messages are read.
    """
    if roles.label is None:
        # A file has no keys of records.
        return options.model_copy(update={"id": None if options.id == RECORD_KEY else options.id})
    parts = dict.fromkeys(("label", "id", "timestamp", "weight"))
    return options.model_copy(update={"format": "envelope", **parts})


def _reported(model: Model, task: Task, before: float) -> float:
    """Tell about once a second that the trainer is there; return when that was last, in monotonic seconds."""
    now = time.monotonic()
    if now - before < _REPORTED_EVERY:
        return before
    with contextlib.suppress(OSError):  # its age tells
        write_status(model.paths.status, report_beginning(model, task))
    return now


def _survey(stream: StreamOrder) -> Survey:
    """Read the file through, so that what is wrong with it is told before anything is learned."""
    with StreamProgress(f"reading {stream.file.name}") as progress:
        found = survey(stream, progress.show)
    if found.first:
        refused = sum(found.refused.values())
        _log.warning("rows of the history cannot be used", rows=refused, first=found.first)
    return found


def _score(learner: Learner) -> str:
    """Return how well the rows so far were predicted before they were learned, in words."""
    measure = MEASURES[learner.task][0]
    score = learner.status().scores["stream"].get(measure.key)
    return "" if score is None else f"{measure.name} {number(score, measure)}"
