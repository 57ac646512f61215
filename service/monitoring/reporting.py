"""A trainer's state, put together for those who ask: the API, the metrics, an operator."""

import os
import time
from typing import TypedDict

from consumers.dead_letter_pause import Pause
from models.examples import Task
from service.learning.lane import Lane
from service.learning.model import Model
from service.learning.totals import Totals
from service.learning.training import Training
from service.monitoring.letter_watch import LetterFigures
from service.monitoring.status import (
    CanaryStatus,
    CheckpointStatus,
    DriftStatus,
    PauseStatus,
    ReliabilityStatus,
    State,
    Status,
)
from service.repair.canary import Finding

LISTED = 1000
"""Classes, and features, that a status names: it is rewritten several times a second."""


class _Own(TypedDict):
    """What a status says of its trainer, whatever that has learned."""

    model: str
    epoch: int
    pid: int
    written_at: float
    of_model: str
    microbatch_max_size: int


def report_beginning(model: Model, task: Task) -> Status:
    """Return the status of a trainer whose model learns a history, before its first event."""
    return Status(**_own(model), state="beginning", task=task.value)


def report(
    model: Model,
    training: Training,
    letters: LetterFigures,
    state: State,
    checkpoint: CheckpointStatus | None,
    *,
    found: Finding,
) -> Status:
    """Return the status of a trainer now. May wait for the device."""
    lane = training.lane
    status = lane.learner.status() if lane.learner is not None else None
    ends = lane.ingest.ends
    return Status(
        **_own(model),
        state=state,
        task=lane.ingest.task.value if lane.ingest.task is not None else None,
        classes=list(status.classes[:LISTED]) if status else [],
        features=[dict(feature) for feature in status.features[:LISTED]] if status else [],
        classes_known=len(status.classes) if status else 0,
        features_known=len(status.features) if status else 0,
        learner=lane.learner.name if lane.learner is not None else "microbatch",
        device=status.device if status else "cpu",
        version=training.versions.current,
        restored_from=training.versions.restored_from,
        events_consumed=training.totals.events_consumed,
        events_learned=dict(training.totals.events_learned),
        events_checksum=lane.count.hex,
        updates=dict(training.totals.updates),
        updates_skipped=dict(status.skipped) if status else {},
        dead_letters=letters.counts,
        dead_letters_unsent=letters.unsent,
        dead_letters_unsent_pruned=letters.unsent_pruned,
        paused=_pause(training, letters.pause),
        unlabelled=_unlabelled(training.totals, letters),
        duplicates=training.totals.duplicates,
        limited=training.totals.limited,
        positions={str(partition): (at.offset, at.event) for partition, at in lane.positions.items()},
        ends={str(partition): end for partition, end in ends.items()},
        lag={str(partition): _left(lane, partition, end) for partition, end in ends.items()},
        drift=training.totals.drift,
        last_drift=_last_drift(training.totals),
        teacher=None
        if model.teacher is None
        else model.teacher.status(training.totals.taught, training.totals.untaught),
        rollbacks=training.totals.rollbacks,
        canary=CanaryStatus(**found.to_json()),
        halvings=training.totals.halvings,
        microbatch=None if training.plan is None else training.plan.status(),
        scores={scope: dict(scores) for scope, scores in status.scores.items()} if status else {},
        reliability=[ReliabilityStatus(**each._asdict()) for each in status.reliability] if status else [],
        experts={name: dict(measures) for name, measures in status.experts.items()} if status else {},
        contest=None if status is None or status.contest is None else dict(status.contest),
        join=None if lane.screen.join is None else lane.screen.join.status(),
        checkpoint=checkpoint,
        device_memory_bytes=status.device_memory if status else 0,
        errors=list(model.notices),
        histograms={name: histogram.to_json() for name, histogram in training.totals.histograms.items()},
    )


def _own(model: Model) -> _Own:
    """Return what is true of a trainer now, whatever it has learned."""
    return _Own(
        model=model.name,
        epoch=model.lease.epoch,
        pid=os.getpid(),
        written_at=time.time(),
        of_model=model.identity,
        microbatch_max_size=model.max_size,
    )


def _unlabelled(totals: Totals, letters: LetterFigures) -> int:
    """Return how many events were passed that had no label, and of which no teacher said anything."""
    # Dead letters are written as soon as they are met, so they may be ahead of what was passed.
    return max(0, totals.events_consumed - totals.served - sum(letters.counts.values()) - totals.duplicates)


def _left(lane: Lane, partition: int, end: int) -> int:
    """Return how many records of a partition are not learned yet."""
    return max(0, end - (lane.positions[partition].offset if partition in lane.positions else 0))


def _last_drift(totals: Totals) -> DriftStatus | None:
    if not totals.drift:
        return None
    return DriftStatus(events_learned=totals.drifted_at, noticed_at=totals.drift_noticed_at)


def _pause(training: Training, pause: Pause | None) -> PauseStatus | None:
    paused = training.operated.paused
    if paused is not None:
        detail = f"{paused['caller']} has paused learning; POST …/resume, or `headrace resume`, has it go on"
        return PauseStatus(reason="command", detail=detail, since=paused["since"])
    return None if pause is None else PauseStatus(reason=pause.reason, detail=pause.detail, since=pause.since)
