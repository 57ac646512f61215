"""What a trainer says of itself, for the API, the metrics and the command line: one small JSON file a model.

The trainer that owns a model rewrites ``publish_dir/<model>/status.json`` a few times a second; everybody else only
reads it. It is volatile: what must survive is in the checkpoint, from which the trainer fills its next status, so that
counters neither reset nor double when a process dies.
"""

import os
import threading
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

State = Literal["beginning", "learning", "idle", "standby", "paused", "stopped", "waiting_for_source"]

STATUS_FILE = "status.json"

_log = structlog.get_logger(__name__)


class CheckpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint: its version, when it was written (Unix seconds) and how long that took (seconds)."""

    version: int
    written_at: float
    seconds: float


class PauseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is read: one word, what happened and what to do, and since when (Unix seconds)."""

    reason: str
    detail: str
    since: float


class ErrorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that went wrong: when (Unix seconds) and what, for an operator."""

    at: float
    message: str


class CanaryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the canary found last: ``good``, ``bad`` or ``unknown``; the loss, and the one that it is compared with."""

    verdict: str
    loss: float | None
    reference_loss: float | None


class DriftStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A drift: how many events were learned when it was noticed, and when that was (Unix seconds; None: unknown)."""

    events_learned: int
    noticed_at: float | None


class ReliabilityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Recent rows of about the same probability: see :class:`models.evaluation_ranking.ReliabilityBin`."""

    lowest: float
    highest: float
    share: float
    predicted: float
    observed: float


class TeacherStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher: its name, the version asked last (None: nobody could be), the events taught and untaught, and why."""

    model: str
    version: int | None
    taught: int
    untaught: int
    problem: str = ""


class HistogramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram as JSON: upper bounds, observations in each bucket (above the last bound comes last), their sum."""

    buckets: list[float]
    counts: list[int]
    sum: float


class JoinStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The label join: what waits, and what became of all that came.

    Attributes
    ----------
    observations, labels, bytes
        How many wait, and what all of it takes.
    oldest_seconds
        For how long the oldest observation waits, by the newest event; None where none does.
    matched_share
        Of the observations whose wait ended, those that met their label; None before any.
    outcomes
        Outcome → count, see :mod:`service.joining.outcomes`.
    delays
        Seconds from observation to label.
    """

    observations: int
    labels: int
    bytes: int
    oldest_seconds: float | None
    matched_share: float | None
    outcomes: dict[str, int]
    delays: HistogramStatus


class PlanStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the next microbatch is to be, and why: see :class:`service.learning.adaptive.Plan`.

    Attributes
    ----------
    target_events, effort, reason
        Its size and effort (0 is full), and the reason in words.
    update_fixed_seconds, update_event_seconds
        What an update costs at this effort: so much, and so much more for each event.
    capacity, arrivals
        Events a second that can be learned at this effort, and that come.
    waiting
        Events that have come and are not learned yet.
    objective_seconds, feasible
        The freshness that is to be held, and whether it can be.
    """

    target_events: int
    effort: int
    reason: str
    update_fixed_seconds: float
    update_event_seconds: float
    capacity: float
    arrivals: float
    waiting: float
    objective_seconds: float
    feasible: bool


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a trainer tells; counters cover the model's whole life.

    Attributes
    ----------
    model, epoch, pid, written_at
        Whose status it is: the model, the epoch of the lease, the process, and Unix seconds.
    of_model
        The model's identity: see :mod:`service.durability.model_identity`.
    state
        ``beginning`` (a history is learned, before the first event), ``learning``, ``idle`` (caught up), ``standby``
        (another trainer owns the model), ``paused``, ``stopped`` or ``waiting_for_source``.
    task, classes, features
        What is predicted from what, so far; the task is None until the first labels decide it. Of classes and features
        the first thousand each.
    classes_known, features_known
        How many there are.
    learner, device, version, restored_from
        What is served: ``microbatch`` or ``online``, where it learns, the model version, and the version that it was
        rolled back to.
    events_consumed, unlabelled
        Events read off the log, and those of them that had no label.
    duplicates, limited
        Events that were not learned because they had been before, and that were only scored because their source had
        had its share.
    events_learned, updates
        Learner → count.
    events_checksum
        Of the events that the served parameters stand for, in hexadecimal: see :meth:`consumers.track.Track.checksum`.
    updates_skipped, dead_letters
        Reason → count.
    dead_letters_unsent, dead_letters_unsent_pruned
        Dead letters that wait to be forwarded, and those that had to make room before they were.
    paused
        Why learning pauses; None where it does not.
    positions, ends, lag
        Partition → (offset, index) of the next event, offset after the last record, events or records still to read.
    drift, last_drift
        How often drift was certain in the learner's errors, and when it was last; None where it never was.
    teacher
        The model that is learned from beside labels; None where none is configured.
    join
        The label join; None where it is turned off.
    rollbacks, canary
        How often the learner of an earlier version came back, and what was found of the parameters last.
    halvings, microbatch_max_size
        How often a microbatch did not fit into the device's memory, and how many events one may have at most.
    microbatch
        What the next one is to be; None where sizes are not adapted.
    scores
        ``stream`` and ``window`` → score's name → value (None where it is not a number).
    reliability
        How reliable recent probabilities are, from the least probable on; empty for regression.
    experts
        Expert → measure (``weight``, ``loss``) → value, where several are mixed.
    contest
        How a champion and its challengers stand (:meth:`models.contest.Contest.status`); None without challengers.
    checkpoint
        The newest one, or None.
    device_memory_bytes
        Held on the device; 0 on the CPU.
    errors
        The last ten.
    histograms
        ``microbatch_events``, ``microbatch_wait_seconds``, ``update_seconds``, ``freshness_seconds`` and
        ``checkpoint_seconds``.
    """

    model: str
    epoch: int
    pid: int
    written_at: float
    of_model: str = ""
    state: State
    task: str | None = None
    classes: list[str | int | float | bool] = []
    features: list[dict[str, Any]] = []
    classes_known: int = 0
    features_known: int = 0
    learner: str = "microbatch"
    device: str = "cpu"
    version: int = 0
    restored_from: int | None = None
    events_consumed: int = 0
    events_learned: dict[str, int] = {}
    events_checksum: str = "0" * 16
    updates: dict[str, int] = {}
    updates_skipped: dict[str, int] = {}
    dead_letters: dict[str, int] = {}
    dead_letters_unsent: int = 0
    dead_letters_unsent_pruned: int = 0
    paused: PauseStatus | None = None
    unlabelled: int = 0
    duplicates: int = 0
    limited: int = 0
    positions: dict[str, tuple[int, int]] = {}
    ends: dict[str, int] = {}
    lag: dict[str, int] = {}
    drift: int = 0
    last_drift: DriftStatus | None = None
    teacher: TeacherStatus | None = None
    rollbacks: int = 0
    canary: CanaryStatus | None = None
    halvings: int = 0
    microbatch_max_size: int = 0
    microbatch: PlanStatus | None = None
    scores: dict[str, dict[str, float | None]] = {}
    reliability: list[ReliabilityStatus] = []
    experts: dict[str, dict[str, float]] = {}
    contest: dict[str, Any] | None = None
    join: JoinStatus | None = None
    checkpoint: CheckpointStatus | None = None
    device_memory_bytes: int = 0
    errors: list[ErrorStatus] = []
    histograms: dict[str, HistogramStatus] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Status)


def write_status(path: Path, status: Status) -> None:
    """Replace the file at `path` atomically; a reader sees the old status or the new one, never a mixture.

    Only the owner of the model's lease may call it. Nothing is synced: the file describes a running process.

    Raises
    ------
    OSError
        The folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(_encoder.encode(status))
    temporary.replace(path)


def read_status(path: Path) -> Status | None:
    """Return the status at `path`; None where there is none yet, or none that this version of Headrace can read."""
    try:
        return _decoder.decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.warning("the trainer's status cannot be read", path=str(path), error=str(error))
        return None
