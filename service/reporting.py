"""A trainer's state, put together for those who ask: the API, the metrics, an operator."""

import os
import time
from typing import TYPE_CHECKING

from service.model import Model
from service.status import CheckpointStatus, State, Status

if TYPE_CHECKING:
    from service.trainer import Trainer


def report(model: Model, trainer: "Trainer", state: State, checkpoint: CheckpointStatus | None) -> Status:
    """Return the status of `trainer` now. May wait for the device."""
    lane = trainer.lane
    status = lane.learner.status() if lane.learner is not None else None
    ends = lane.ingest.ends
    dead_letters = model.dead_letters.counts()
    unused = trainer.totals.events_consumed - trainer.totals.served
    return Status(
        model=model.name,
        epoch=model.lease.epoch,
        pid=os.getpid(),
        written_at=time.time(),
        state=state,
        task=lane.ingest.task.value if lane.ingest.task is not None else None,
        classes=list(status.classes) if status else [],
        features=[dict(feature) for feature in status.features] if status else [],
        learner=lane.learner.name if lane.learner is not None else "microbatch",
        device=status.device if status else "cpu",
        version=trainer.versions.current,
        restored_from=trainer.versions.restored_from,
        events_consumed=trainer.totals.events_consumed,
        events_learned=dict(trainer.totals.events_learned),
        updates=dict(trainer.totals.updates),
        updates_skipped=dict(status.skipped) if status else {},
        dead_letters=dead_letters,
        # Dead letters are written as soon as they are met, so they may be ahead of what was passed.
        unlabelled=max(0, unused - sum(dead_letters.values())),
        positions={str(partition): (at.offset, at.event) for partition, at in lane.positions.items()},
        ends={str(partition): end for partition, end in ends.items()},
        lag={
            str(partition): max(0, end - (lane.positions[partition].offset if partition in lane.positions else 0))
            for partition, end in ends.items()
        },
        scores={scope: dict(scores) for scope, scores in status.scores.items()} if status else {},
        checkpoint=checkpoint,
        device_memory_bytes=status.device_memory if status else 0,
        errors=list(model.notices),
        histograms={name: histogram.to_json() for name, histogram in trainer.totals.histograms.items()},
    )
