"""Rows as they come and go: what predictions are asked and answered with, and events; for OpenAPI and for people.

The other shapes are in ``schemas.py``.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

FeatureName = Annotated[str, Field(max_length=1_000)]
FeatureText = Annotated[str, Field(max_length=65_536)]

ClassLabel = str | int | bool


class _Schema(BaseModel):
    # `model_version` is the contract's name, not one of pydantic's.
    model_config = ConfigDict(protected_namespaces=())


class FeatureValue(
    RootModel[
        float
        | bool
        | FeatureText
        | None
        | Annotated[list[float], Field(max_length=10_000)]
        | Annotated[list[FeatureText], Field(max_length=10_000)]
        | dict[FeatureName, "FeatureValue"]
    ]
):
    """A number, a boolean, a text, a list of texts or of numbers, or an object of such; null is missing."""


class Instance(_Schema):
    """One thing to predict for."""

    features: dict[FeatureName, FeatureValue] = Field(
        description="Nested names are joined by dots, to 1,000 characters and in 32 levels at most.",
        examples=[{"price": 3.2, "city": "Oslo", "express": True, "note": None, "tokens": ["big", "red"]}],
    )
    id: str | int | None = Field(
        default=None,
        description="Comes back with the prediction. Where that is remembered, a label with it is joined later.",
        examples=["a1"],
    )
    timestamp: Any = Field(
        default=None,
        description="When it happened, as in an event: kept with what is remembered, and looked at only then.",
        examples=[1763683200.0],
    )


_Remember = Annotated[
    bool | None,
    Field(
        description="False: these are not remembered; true: they must be. By default as `models.NAME.remember` says."
    ),
]


_Explain = Annotated[
    bool | None,
    Field(
        description="True: each prediction comes with what each feature contributed to it. The model is asked once "
        "more for each feature of each instance, of which there may be `limits.max_explained`."
    ),
]


class OneInstance(Instance):
    """One thing to predict for, alone in a request."""

    remember: _Remember = None
    explain: _Explain = None


class Instances(_Schema):
    """Many things to predict for."""

    instances: list[Instance]
    remember: _Remember = None
    explain: _Explain = None


_ARM: str | None = Field(
    default=None, description="Who answered, where challengers answer some of the requests: `contest.answers`."
)


class Reasons(_Schema):
    """Why an instance was answered as it was."""

    contributions: dict[str, float] = Field(
        description="Feature → what it contributes to `output`; of those that the instance has. A category is called "
        "by its value too.",
        examples=[{"price": 0.42, "city=Oslo": -0.1}],
    )
    baseline: float = Field(description="The output for an instance without any feature.", examples=[0.31])
    output: float = Field(description="What is explained.", examples=[0.63])
    scale: Literal["log_odds", "value"] = Field(
        description="What `output` is: the logarithm of the odds of `label`, or the value."
    )
    method: Literal["exact", "occlusion"] = Field(
        description="`exact`: baseline and contributions add up to the output. `occlusion`: each contribution is the "
        "difference that leaving this feature out makes; what features do only together is in none, or in several."
    )


_REASONS: Reasons | None = Field(default=None, description="Where it was asked for by `explain`.")


class ClassPrediction(_Schema):
    """The most probable class, and how probable each one is."""

    id: str | int | None = Field(default=None, description="The instance's; absent where it had none.")
    label: ClassLabel | None = Field(description="Null before any label was seen.", examples=["late"])
    probabilities: dict[str, float] | None = Field(
        default=None,
        description="Class → probability; booleans are `true` and `false`. Absent before any label was seen.",
        examples=[{"late": 0.81, "on-time": 0.19}],
    )
    arm: str | None = _ARM
    explanation: Reasons | None = _REASONS


class NumberPrediction(_Schema):
    """The expected number."""

    id: str | int | None = Field(default=None, description="The instance's; absent where it had none.")
    value: float = Field(examples=[3.7])
    arm: str | None = _ARM
    explanation: Reasons | None = _REASONS


class PredictionAnswer(_Schema):
    """Predictions, all from one version of the parameters."""

    model: str = Field(examples=["default"])
    model_version: int = Field(description="Updates behind the parameters.", examples=[412])
    model_age_seconds: float = Field(description="Since this version was published.", examples=[0.012])
    learner: str = Field(description="`microbatch` or `online`.", examples=["microbatch"])
    predictions: list[ClassPrediction | NumberPrediction] = Field(description="In the order of the instances.")


class GivenPrediction(_Schema):
    """What was answered of an event when it was asked."""

    model_version: int = Field(ge=0, le=2**63 - 1, description="That answered.", examples=[412])
    of_model: str | None = Field(
        default=None, description="As in the model's state: an answer of another model is not scored."
    )
    probabilities: dict[FeatureName, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        default=None, description="Class → probability.", examples=[{"late": 0.81, "on-time": 0.19}]
    )
    value: float | None = Field(default=None, description="Of a regression.", examples=[3.7])


class Event(_Schema):
    """One event: features, label or both. Unlabelled features wait for their label under the same id."""

    model_config = ConfigDict(extra="allow")

    id: str | int | None = Field(default=None, examples=["a1"])
    features: dict[FeatureName, FeatureValue] | None = Field(default=None, examples=[{"price": 3.2, "city": "Oslo"}])
    label: ClassLabel | float | None = Field(default=None, examples=["late"])
    timestamp: float | str | None = Field(
        default=None, description="Seconds or milliseconds since the epoch, or ISO 8601.", examples=[1763683200.0]
    )
    weight: float | None = Field(default=None, ge=0, examples=[1.0])
    prediction: GivenPrediction | None = Field(
        default=None,
        description="What was answered of it, which it is scored on: `remember: log` writes it with each observation. "
        "What has no `model_version` is not looked at.",
    )


class RejectedEvent(_Schema):
    """An event of the body that was not taken, and why; the others were."""

    index: int = Field(description="Place in the body, from 0.", examples=[3])
    reason: str = Field(
        description="As in the metric `headrace_dead_letters_total`; or `not_appended`: Kafka did not acknowledge it, "
        "send it again.",
        examples=["feature"],
    )
    detail: str = Field(description="What is wrong and what would be right.")


class EventsAnswer(_Schema):
    """What became of the events; the accepted ones are durable in the log."""

    accepted: int = Field(examples=[2])
    rejected: list[RejectedEvent]
