"""The shapes of requests and answers, for OpenAPI and for people. Decoding is done elsewhere, by faster means."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.rest.schemas_contest import ContestState
from service.rest.schemas_rows import ClassLabel


class _Schema(BaseModel):
    # `model_version` is the contract's name, not one of pydantic's.
    model_config = ConfigDict(protected_namespaces=())


class Problem(_Schema):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Always `about:blank`: the status says which kind.", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What is wrong and what would be right.")
    instance: str = Field(description="Path of the request.", examples=["/predict"])
    field: str | None = Field(
        default=None, description="Which field is wrong.", examples=["instances[3].features.price"]
    )


class Feature(_Schema):
    """A feature seen so far; its identity is name and kind together."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["price"])
    kind: str = Field(examples=["number"])


class TrainerState(_Schema):
    """What the model's trainer last reported."""

    up: bool = Field(description="Whether it reported within the last seconds.")
    status_age_seconds: float | None = Field(description="Since its last report; null where there was none.")
    epoch: int | None = Field(description="Of the ownership of the model: grows by one with each trainer.")
    pid: int | None


class ServedState(_Schema):
    """What this server answers from."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    model_version: int
    model_age_seconds: float
    learner: str
    origin: str = Field(description="`publication`, `checkpoint` (the trainer is gone) or `nothing` (version 0).")
    restored_from: int | None = Field(default=None, description="The version that this one was rolled back to.")


class Checkpoint(_Schema):
    """A durable state of the model."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    version: int
    epoch: int = Field(description="Of the trainer that wrote it.")
    written_at: float = Field(description="Unix seconds.")
    bytes: int = Field(description="Size, what it shares with other checkpoints included.")
    names: list[str] = Field(description="That were given to it: while it has one it stays.")
    learner: str | None
    restored_from: int | None = Field(description="The version that it repeats, if it does.")
    canary: str | None = Field(description="What was found of it: `good`, `bad` or `unknown`.")
    events_learned: int | None


class NewestCheckpoint(_Schema):
    """The trainer's last checkpoint."""

    version: int
    written_at: float = Field(description="Unix seconds.")
    seconds: float = Field(description="How long writing it took.")


class Checkpoints(_Schema):
    """The checkpoints that are kept, newest first."""

    model: str
    checkpoints: list[Checkpoint]


class Canary(_Schema):
    """Whether the parameters are fit to be published, on the last labelled events."""

    verdict: str = Field(description="`good`, `bad`, or `unknown` while there are too few events.")
    loss: float | None = Field(description="Log loss in nats, or root mean squared error.")
    reference_loss: float | None = Field(description="Of the newest good checkpoint's parameters on the same events.")


class Reliability(_Schema):
    """Recent predictions of about the same probability: a tenth of them, by weight."""

    lowest: float = Field(description="Probability.")
    highest: float = Field(description="Probability.")
    share: float = Field(description="Of all recent predictions.")
    predicted: float = Field(description="Mean probability.")
    observed: float = Field(description="Share in which it came true.")


class LastDrift(_Schema):
    """When errors were last found to have risen for good."""

    events_learned: int = Field(description="How many there were when it was noticed.")
    noticed_at: float | None = Field(description="Unix seconds; null where it is not known any more.")


class TeacherState(_Schema):
    """Another model that this one learns from beside labels."""

    model: str
    version: int | None = Field(description="Asked last; null where it could not be.")
    taught: int = Field(description="Events learned of which it said something.")
    untaught: int = Field(description="Events of which it was to say something, but could not.")
    problem: str = Field(description="Why it says nothing now; empty where it does.")


class MicrobatchPlan(_Schema):
    """What the next microbatch is to be, and why: `microbatch.adaptive`."""

    target_events: int = Field(description="Events that it is to have at most.")
    effort: int = Field(description="Level of effort it is learned with: 0 is full, more is less.")
    reason: str = Field(description="Why, in words.")
    update_fixed_seconds: float = Field(description="What any update costs at this effort, as fitted.")
    update_event_seconds: float = Field(description="What each of its events costs besides.")
    capacity: float = Field(description="Events a second that can be learned at this effort.")
    arrivals: float = Field(description="Events a second that come.")
    waiting: float = Field(description="Events that have come and are not learned yet, as far as is known.")
    objective_seconds: float = Field(description="The freshness that is to be held: `microbatch.objective`.")
    feasible: bool = Field(description="Whether it can be held under this load.")


class JoinState(_Schema):
    """Labels that come later than what they are of, or first."""

    observations: int = Field(description="Observations that wait for their label.")
    labels: int = Field(description="Labels that wait for their observation.")
    bytes: int = Field(description="What all of it takes, in memory and in files.")
    oldest_seconds: float | None = Field(description="For how long the oldest observation waits, by the newest event.")
    matched_share: float | None = Field(description="Of the observations whose wait ended, those that met their label.")
    outcomes: dict[str, int] = Field(description="As in the metric `headrace_label_join_total`.")
    delays: dict[str, Any] = Field(description="Seconds from observation to label: `buckets`, `counts` and `sum`.")


class ErrorReport(_Schema):
    """Something that went wrong in the trainer."""

    at: float = Field(description="Unix seconds.")
    message: str


class Paused(_Schema):
    """Why nothing more is read and learned, until an operator says so."""

    reason: str = Field(description="As in the metric `headrace_paused`.", examples=["dead_letters"])
    detail: str = Field(description="What happened, and what to do.")
    since: float = Field(description="Unix seconds.")


class ModelState(_Schema):
    """State of one model: the trainer's last report beside what this server answers from."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    model: str
    declared_in: str = Field(description="`file`: the configuration; `api`: it was added while the service ran.")
    state: str = Field(
        description="`beginning`, `learning`, `idle`, `standby`, `paused`, `stopped`, `waiting_for_source`, `down`."
    )
    task: str | None
    classes: list[ClassLabel | float]
    features: list[Feature] = Field(description="The first 1,000 of them, as of the classes.")
    classes_known: int
    features_known: int
    topic: str
    learner: str
    device: str | None
    model_version: int
    events_consumed: int
    events_learned: int
    events_learned_by: dict[str, int]
    events_checksum: str = Field(
        description="Of the events learned, by partition and offset, whatever their order: 16 hexadecimal digits.",
        examples=["5692161d100b05e5"],
    )
    duplicates: int = Field(description="Events not learned because they had been: `events.dedup_window`.")
    limited: int = Field(description="Events scored, not learned, because of `influence.key_share`.")
    contest: ContestState | None = Field(default=None, description="Champion and challengers; null without any.")
    updates: dict[str, int]
    updates_skipped: dict[str, int]
    dead_letters: dict[str, int]
    dead_letters_unsent: int = Field(description="Those that wait to be forwarded to their topic.")
    dead_letters_unsent_pruned: int = Field(description="Those that had to make room before they were forwarded.")
    paused: Paused | None = Field(description="Null while learning goes on.")
    positions: dict[str, tuple[int, int]] = Field(description="Partition → offset and event of the next event.")
    lag: dict[str, int] = Field(description="Partition → what is in the log and not learned yet.")
    scores: dict[str, dict[str, float | None]] = Field(
        description="Prequential scores and their baselines, over the whole `stream` and over a recent `window`: of "
        "`count` events `scored`, those that were answered after the first label had been learned. `coverage` is the "
        "share that was scored by what was really answered (`remember: log`), `answer_age` how many versions ago that "
        "was. For classes the window has the expected `calibration_error`; for two of them its `roc_auc` is exact."
    )
    reliability: list[Reliability] = Field(
        description="What probabilities of late were worth: of the second of two classes, or of the answer among many."
    )
    experts: dict[str, dict[str, float]] = Field(
        description="Expert → `weight`, its share in the answers, and `loss`, its own of late; empty for one alone."
    )
    drift: int = Field(description="How often drift was certain in the learner's errors.")
    last_drift: LastDrift | None = Field(description="Null where it never was.")
    teacher: TeacherState | None = Field(description="Null where none is configured.")
    join: JoinState | None = Field(default=None, description="The label join; null where `join.enabled` is false.")
    rollbacks: int = Field(description="How often the learner of an earlier version came back.")
    canary: Canary | None = Field(description="What was found of the parameters last; null before.")
    halvings: int = Field(description="How often a microbatch did not fit into the device's memory.")
    microbatch_max_size: int = Field(description="Events that a microbatch may have at most, but for a large backlog.")
    microbatch: MicrobatchPlan | None = Field(description="Null where `microbatch.adaptive` is off.")
    checkpoint: NewestCheckpoint | None
    errors: list[ErrorReport] = Field(description="The last ones.")
    trainer: TrainerState
    served: ServedState | None = Field(description="Null while no parameters can be reached.")


class UnusableModel(_Schema):
    """A model that was added and cannot be used any more, as the configuration is now."""

    model: str
    problem: str = Field(description="Why, and what would be right.")


class ModelList(_Schema):
    """All models."""

    models: list[ModelState]
    unusable: list[UnusableModel] = Field(description="Left out; PUT mends them, DELETE removes them.")


class AddedModel(_Schema):
    """A model that was added, or changed."""

    model: str
    declared_in: str = Field(description="`api`.")
    created: bool = Field(description="Whether there was none of that name.")
    settings: dict[str, Any] = Field(description="All of them, those that were not given at their defaults.")


class RemovedModel(_Schema):
    """A model that is being removed."""

    model: str
    state: str = Field(description="`removing`: its trainer has not ended yet.")


class ModelSettingsAnswer(_Schema):
    """The settings of a model."""

    model: str
    declared_in: str = Field(description="`file` or `api`.")
    settings: dict[str, Any] = Field(description="All of them, defaults included.")
    given: dict[str, Any] | None = Field(description="What was PUT; null where the configuration declares the model.")


class Health(_Schema):
    """Answer to a probe."""

    status: str = Field(examples=["ready"])
